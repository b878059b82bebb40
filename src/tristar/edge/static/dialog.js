/** Asking before something is done. Escape and the other button leave everything as it is. */

import { make } from "./dom.js";
import { say } from "./words.js";

/**
 * A dialog with this title and content; true once its action was chosen.
 *
 * `act()` runs meanwhile, if given: the dialog stays until it is done, and shows what it raises.
 */
export function ask({ title, content, action, danger = false, act = async () => {}, explain = (error) => error.message }) {
  return new Promise((resolve) => {
    const problem = make("p", { class: "bad small", role: "alert" });
    const doIt = make("button", { type: "submit", class: danger ? "danger" : "chief" }, action);
    const form = make(
      "form", { method: "dialog" },
      make("h2", { id: "dialog-title" }, title), ...[content].flat(), problem,
      make("div", { class: "row end" }, make("button", { type: "button", onclick: () => box.close("") }, say("cancel")), doIt),
    );
    const box = make("dialog", { "aria-labelledby": "dialog-title" }, form);
    const back = document.activeElement;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      doIt.disabled = true;
      problem.textContent = "";
      try {
        await act(form);
        box.close("done");
      } catch (error) {
        problem.textContent = explain(error);
        doIt.disabled = false;
      }
    });
    box.addEventListener("close", () => {
      box.remove();
      back?.focus?.();
      resolve(box.returnValue === "done");
    });
    document.body.append(box);
    box.showModal();
  });
}
