"""The readers: one file per kind of source, each turns files into parts of images and labels."""
