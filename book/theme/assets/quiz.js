// The quiz of a chapter. The page holds every question with its choices, and behind each choice whether it is right and why.
// This makes a group of radio buttons of each question; the reason appears when a choice is made.
for (const quiz of document.querySelectorAll(".book-quiz")) {
  const questions = [...quiz.querySelectorAll(".book-question")];
  const firstTries = new Map();
  const total = document.createElement("p");
  total.className = "book-quiz-total";
  total.setAttribute("role", "status");

  questions.forEach((question, number) => {
    const group = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.append(...question.querySelector(":scope > p").childNodes);
    group.append(legend);
    const said = document.createElement("div");
    said.className = "book-quiz-because";
    said.setAttribute("role", "status");

    for (const choice of [...question.querySelectorAll(":scope > .book-choice")]) {
      const label = document.createElement("label");
      const radio = document.createElement("input");
      radio.type = "radio";
      radio.name = `question-${number + 1}`;
      const text = document.createElement("span");
      text.append(...choice.querySelector(":scope > p").childNodes);
      label.append(radio, text);
      const because = choice.querySelector("details .sd-card-body");
      const right = choice.classList.contains("book-right");
      radio.addEventListener("change", () => {
        said.replaceChildren(...[...because.childNodes].map((node) => node.cloneNode(true)));
        said.dataset.right = right;
        if (!firstTries.has(number)) firstTries.set(number, right);
        if (firstTries.size === questions.length) {
          const count = [...firstTries.values()].filter(Boolean).length;
          total.textContent = `${count} of ${questions.length} right at the first try.`;
        }
      });
      group.append(label);
    }
    group.append(said);
    question.replaceChildren(group);
  });
  quiz.append(total);
}
