/** What this browser remembers of its user: colours and language. `prelude.js` applies both at the start. */

/** Use and remember a language: "en" or "de". */
export function keepLanguage(language) {
  document.documentElement.lang = language;
  keep("language", language);
}

/** Use and remember a theme: "light", "dark", or "auto" for the system's. */
export function keepTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  keep("theme", theme);
}

/** The theme in use. */
export const keptTheme = () => document.documentElement.dataset.theme ?? "auto";

function keep(name, value) {
  try {
    localStorage.setItem(`tristar.${name}`, value);
  } catch {
    // storage is off: the choice holds until the page is closed
  }
}
