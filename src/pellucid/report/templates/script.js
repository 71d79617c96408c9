// Images of the confusion matrix under the pointer, and settings unfolded on paper. Without this the page is complete all the same.
"use strict";
const data = document.getElementById("cells");
const panel = document.getElementById("cell");
if (data && panel) {
  const { cells, thumbnails } = JSON.parse(data.textContent);
  const heading = panel.querySelector("h3"), images = panel.querySelector(".thumbnails");
  let pressed = null;

  const show = (button) => {
    const [words, places] = cells[button.dataset.cell] || [button.getAttribute("aria-label"), []];
    heading.textContent = words;
    images.replaceChildren(...places.map((place) => {
      const [uri, name] = thumbnails[place];
      const figure = document.createElement("figure"), image = document.createElement("img");
      const caption = document.createElement("figcaption");
      image.src = uri;
      image.alt = caption.textContent = name;
      figure.append(image, caption);
      return figure;
    }));
    document.querySelectorAll(".confusion .shown").forEach((other) => other.classList.remove("shown"));
    button.classList.add("shown");
  };

  document.documentElement.classList.add("with-script");
  for (const button of document.querySelectorAll(".confusion button")) {
    button.addEventListener("pointerenter", () => pressed || show(button));
    button.addEventListener("focus", () => pressed || show(button));
    button.addEventListener("click", () => {
      pressed = pressed === button ? null : button;  // a press holds a cell, a second one lets it go
      show(button);
      document.querySelectorAll(".confusion [aria-pressed]").forEach((other) => other.removeAttribute("aria-pressed"));
      if (pressed) button.setAttribute("aria-pressed", "true");
    });
  }
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
