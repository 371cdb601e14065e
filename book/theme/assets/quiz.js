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
    const reasons = document.createElement("div"); // seen on paper only, where no choice can be made
    reasons.className = "book-quiz-reasons";

    for (const [place, choice] of [...question.querySelectorAll(":scope > .book-choice")].entries()) {
      const label = document.createElement("label");
      const radio = document.createElement("input");
      radio.type = "radio";
      radio.name = `question-${number + 1}`;
      const letter = document.createElement("span");
      letter.textContent = `${"ABCD"[place]}.`; // a name in plain text also for a choice that is one formula
      const text = document.createElement("span");
      text.append(...choice.querySelector(":scope > p").childNodes);
      label.append(radio, letter, text);
      const because = choice.querySelector("details .sd-card-body");
      const reason = document.createElement("div");
      reason.append(`${"ABCD"[place]}. `, ...[...because.childNodes].map((node) => node.cloneNode(true)));
      reasons.append(reason);
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
    group.append(said, reasons);
    question.replaceChildren(group);
  });
  quiz.append(total);
}
