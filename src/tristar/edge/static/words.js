/** Every word on the page, in English and German, and how numbers and times are written in each. */

const ENGLISH = {
  skip: "Skip to the overview", console: "console", loading: "Reading the gateway …",
  pause: "Pause", resume: "Resume", forget_key: "Forget key", theme: "Theme", language: "Language",
  theme_auto: "As the system", theme_light: "Light", theme_dark: "Dark",
  access_title: "This gateway asks for a key",
  access_why: "A key with the scopes metrics and chat opens everything here.",
  access_part: "The figures are open from this machine; the list of llms and the playground need a key.",
  access_refused: "The gateway refused this key: {message}",
  access_malformed: "A key has letters, digits and signs without blanks only.",
  access_label: "API key", access_use: "Use key",
  access_note: "Kept in this browser tab only, until it is closed.",
  condition_ok: "Ready", condition_degraded: "Degraded", condition_down: "Not ready", condition_draining: "Draining",
  condition_gone: "No answer", condition_paused: "Paused",
  gone: "The gateway does not answer. Trying again every 2 seconds.",
  gone_since: "The gateway does not answer; the figures are from {time}. Trying again every 2 seconds.",
  metrics_off: "Metrics are switched off (METRICS_ENABLED=false): there is nothing to show over time. Readiness and the playground work.",
  metrics_locked: "The figures need a key with the scope metrics.",
  metrics_forbidden: "This key lacks the scope metrics: no figures. Forget it and use another.",
  metrics_strange: "The metrics page at {path} is not this gateway’s ({status}). Check METRICS_PATH and the proxy in between.",
  metrics_failed: "The metrics page answers {status}: {message}",
  models_failed: "The list of llms cannot be read: {message}",
  overview: "Overview", reading: "Read at {time}, every 2 seconds", reading_paused: "Paused; read at {time}",
  calm: "Nothing needs attention.",
  attention_breaker_open: "The breaker of {name} is open: calls go to its fallbacks or are refused.",
  attention_breaker_half: "The breaker of {name} is half-open: it is trying whether the llm answers again.",
  attention_errors: "{share} of the requests of the last minute ended in a server error (5xx).",
  attention_p95: "P95 of {name} is {time}, above 30 s.",
  attention_lost: "{count} audit records were lost since the gateway started.",
  attention_verify: "The last verification of the audit log failed. Run: tristar audit verify",
  attention_dependency: "{name}: {state}. {reason}",
  attention_draining: "The gateway is shutting down; requests in progress finish.",
  empty_title: "No calls yet", empty: "Send the first one from the playground below, or from a shell:",
  requests: "Requests", requests_note: "per second, over 10 s", errors: "Server errors", errors_note: "share of 5xx, over the last minute",
  latency: "Latency of llm requests", latency_note: "over the last minute", tokens: "Tokens", tokens_note: "per second, over 10 s",
  tokens_in: "In", tokens_out: "Out", active: "Active connections", active_note: "requests in progress now",
  memory: "Memory entries", memory_note: "live entries now",
  no_requests: "no requests in the last minute", waiting: "waiting for the second reading", no_llm_requests: "no llm requests in the last minute",
  chart: "{title}, last 15 minutes: highest {highest}, lowest {lowest}, now {now}.", chart_empty: "{title}: nothing to draw yet.",
  now: "now", minutes_ago: "−{count} min",
  history: "The last 15 minutes as a table", time: "Time",
  dependencies: "Dependencies", state_ok: "ok", state_degraded: "degraded", state_down: "down",
  required: "required", optional: "not required", dependencies_none: "Not known.",
  llms: "LLMs", llms_table: "Table of the llms", llm: "LLM", breaker: "Breaker", calls: "Calls", failed: "Errors", p95: "P95",
  span: "Time span", span_recent: "Last 15 minutes", span_start: "Since start",
  observed_since: "Seen by this page since {time}. Errors: attempts that ended in error, timeout or rate limit.",
  since_start: "Since the gateway started. Errors: attempts that ended in error, timeout or rate limit.",
  observed_not: "Figures come with the metrics.",
  unjoined: "Rows in italics are upstream names, as the metrics have them.",
  llms_none: "No llm is known yet.", llms_locked: "The list of llms needs a key.",
  breaker_0: "closed", breaker_1: "open", breaker_2: "half-open", unknown: "not known",
  shared: "figures shared with {names}", upstream: "{model} at {provider}",
  audit: "Audit log", audit_records: "Durable records", audit_rate: "Records per second", audit_queue: "Waiting for their commit",
  audit_lost: "Lost", audit_verified: "Last verification", verified_yes: "passed", verified_no: "failed",
  playground: "Playground", model: "Model", other: "Another name …", other_model: "Name of the model", question: "Message", send: "Send", stop: "Stop",
  playground_note: "A real call: it is counted, audited and may cost money.", question_first: "Hello, TriStar!",
  asking: "Waiting for the first token …", answering: "Answering …", done: "Complete.", stopped: "Stopped by you.",
  cut: "The stream ended before the answer did.", failed_call: "Failed with {status}: {message}", failed_stream: "The stream failed: {message}", unreachable: "The gateway does not answer.",
  answer: "Answer", answer_text: "Text of the answer", headers: "Response headers", no_headers: "None came.",
  fact_tokens_in: "Tokens in", fact_tokens_out: "Tokens out", fact_first: "First token after", fact_whole: "Whole time", fact_finish: "Finish reason", fact_model: "Model",
  not_reported: "not reported",
  footer: "Every figure is computed in this browser from the gateway’s own metrics. Health checks, scrapes, lists of models and this console are not counted as requests here.",
};

const GERMAN = {
  skip: "Zur Übersicht springen", console: "Konsole", loading: "Gateway wird gelesen …",
  pause: "Anhalten", resume: "Fortsetzen", forget_key: "Schlüssel vergessen", theme: "Farben", language: "Sprache",
  theme_auto: "Wie das System", theme_light: "Hell", theme_dark: "Dunkel",
  access_title: "Dieses Gateway verlangt einen Schlüssel",
  access_why: "Ein Schlüssel mit den Rechten metrics und chat öffnet alles hier.",
  access_part: "Die Werte sind auf diesem Rechner offen; die Liste der LLMs und der Spielplatz brauchen einen Schlüssel.",
  access_refused: "Das Gateway hat den Schlüssel abgelehnt: {message}",
  access_malformed: "Ein Schlüssel besteht nur aus Buchstaben, Ziffern und Zeichen ohne Leerstellen.",
  access_label: "API-Schlüssel", access_use: "Verwenden",
  access_note: "Bleibt nur in diesem Browser-Tab, bis er geschlossen wird.",
  condition_ok: "Bereit", condition_degraded: "Eingeschränkt", condition_down: "Nicht bereit", condition_draining: "Fährt herunter",
  condition_gone: "Keine Antwort", condition_paused: "Angehalten",
  gone: "Das Gateway antwortet nicht. Neuer Versuch alle 2 Sekunden.",
  gone_since: "Das Gateway antwortet nicht; die Werte sind von {time}. Neuer Versuch alle 2 Sekunden.",
  metrics_off: "Die Metriken sind abgeschaltet (METRICS_ENABLED=false): Es gibt keinen Verlauf zu zeigen. Bereitschaft und Spielplatz funktionieren.",
  metrics_locked: "Die Werte brauchen einen Schlüssel mit dem Recht metrics.",
  metrics_forbidden: "Diesem Schlüssel fehlt das Recht metrics: keine Werte. Vergessen Sie ihn und nehmen Sie einen anderen.",
  metrics_strange: "Die Metrikseite unter {path} ist nicht die dieses Gateways ({status}). Prüfen Sie METRICS_PATH und den Proxy dazwischen.",
  metrics_failed: "Die Metrikseite antwortet mit {status}: {message}",
  models_failed: "Die Liste der LLMs ist nicht lesbar: {message}",
  overview: "Übersicht", reading: "Gelesen um {time}, alle 2 Sekunden", reading_paused: "Angehalten; gelesen um {time}",
  calm: "Nichts verlangt Aufmerksamkeit.",
  attention_breaker_open: "Der Breaker von {name} ist offen: Anfragen gehen an die Ausweich-LLMs oder werden abgelehnt.",
  attention_breaker_half: "Der Breaker von {name} ist halboffen: Er probiert, ob das LLM wieder antwortet.",
  attention_errors: "{share} der Anfragen der letzten Minute endeten mit einem Serverfehler (5xx).",
  attention_p95: "P95 von {name} ist {time}, über 30 s.",
  attention_lost: "{count} Audit-Einträge gingen seit dem Start verloren.",
  attention_verify: "Die letzte Prüfung des Audit-Logs schlug fehl. Ausführen: tristar audit verify",
  attention_dependency: "{name}: {state}. {reason}",
  attention_draining: "Das Gateway fährt herunter; laufende Anfragen werden beendet.",
  empty_title: "Noch keine Anfragen", empty: "Senden Sie die erste unten im Spielplatz oder aus einer Shell:",
  requests: "Anfragen", requests_note: "je Sekunde, über 10 s", errors: "Serverfehler", errors_note: "Anteil 5xx, letzte Minute",
  latency: "Latenz der LLM-Anfragen", latency_note: "letzte Minute", tokens: "Tokens", tokens_note: "je Sekunde, über 10 s",
  tokens_in: "Ein", tokens_out: "Aus", active: "Aktive Verbindungen", active_note: "gerade laufende Anfragen",
  memory: "Memory-Einträge", memory_note: "derzeit lebende Einträge",
  no_requests: "keine Anfragen in der letzten Minute", waiting: "wartet auf die zweite Messung", no_llm_requests: "keine LLM-Anfragen in der letzten Minute",
  chart: "{title}, letzte 15 Minuten: höchstens {highest}, mindestens {lowest}, jetzt {now}.", chart_empty: "{title}: noch nichts zu zeichnen.",
  now: "jetzt", minutes_ago: "−{count} min",
  history: "Die letzten 15 Minuten als Tabelle", time: "Zeit",
  dependencies: "Abhängigkeiten", state_ok: "in Ordnung", state_degraded: "eingeschränkt", state_down: "ausgefallen",
  required: "notwendig", optional: "nicht notwendig", dependencies_none: "Nicht bekannt.",
  llms: "LLMs", llms_table: "Tabelle der LLMs", llm: "LLM", breaker: "Breaker", calls: "Aufrufe", failed: "Fehler", p95: "P95",
  span: "Zeitraum", span_recent: "Letzte 15 Minuten", span_start: "Seit Start",
  observed_since: "Von dieser Seite beobachtet seit {time}. Fehler: Versuche, die mit error, timeout oder rate limit endeten.",
  since_start: "Seit dem Start des Gateways. Fehler: Versuche, die mit error, timeout oder rate limit endeten.",
  observed_not: "Die Werte kommen mit den Metriken.",
  unjoined: "Kursive Zeilen sind die Namen beim Anbieter, wie die Metriken sie führen.",
  llms_none: "Noch ist kein LLM bekannt.", llms_locked: "Die Liste der LLMs braucht einen Schlüssel.",
  breaker_0: "geschlossen", breaker_1: "offen", breaker_2: "halboffen", unknown: "nicht bekannt",
  shared: "Werte gemeinsam mit {names}", upstream: "{model} bei {provider}",
  audit: "Audit-Log", audit_records: "Dauerhafte Einträge", audit_rate: "Einträge je Sekunde", audit_queue: "Warten auf ihren Commit",
  audit_lost: "Verloren", audit_verified: "Letzte Prüfung", verified_yes: "bestanden", verified_no: "fehlgeschlagen",
  playground: "Spielplatz", model: "Modell", other: "Anderer Name …", other_model: "Name des Modells", question: "Nachricht", send: "Senden", stop: "Abbrechen",
  playground_note: "Ein echter Aufruf: Er wird gezählt, protokolliert und kann Geld kosten.", question_first: "Hallo, TriStar!",
  asking: "Wartet auf das erste Token …", answering: "Antwortet …", done: "Vollständig.", stopped: "Von Ihnen abgebrochen.",
  cut: "Der Strom endete vor der Antwort.", failed_call: "Fehlgeschlagen mit {status}: {message}", failed_stream: "Der Strom brach ab: {message}", unreachable: "Das Gateway antwortet nicht.",
  answer: "Antwort", answer_text: "Text der Antwort", headers: "Kopfzeilen der Antwort", no_headers: "Es kamen keine.",
  fact_tokens_in: "Tokens ein", fact_tokens_out: "Tokens aus", fact_first: "Erstes Token nach", fact_whole: "Gesamtzeit", fact_finish: "Ende durch", fact_model: "Modell",
  not_reported: "nicht gemeldet",
  footer: "Alle Werte errechnet dieser Browser aus den Metriken des Gateways. Health-Abfragen, Scrapes, Modell-Listen und diese Konsole zählen hier nicht als Anfragen.",
};

export const LANGUAGES = { en: ENGLISH, de: GERMAN };

const NOTHING = "–";
let words = ENGLISH;
let language = "en";

/** Speak this language from now on: "en" or "de". */
export function speak(name) {
  language = name in LANGUAGES ? name : "en";
  words = LANGUAGES[language];
}

/** A phrase, its {slots} filled. */
export function say(name, slots = {}) {
  return words[name].replace(/\{(\w+)\}/g, (whole, slot) => slots[slot] ?? "");
}

/** Put the page's fixed words into the language spoken. */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = words[element.dataset.t];
  for (const element of root.querySelectorAll("[data-t-label]")) element.setAttribute("aria-label", words[element.dataset.tLabel]);
}

/** A number with about three digits that matter; "–" for null. */
export function number(value) {
  if (value === null || value === undefined) return NOTHING;
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 || Number.isInteger(value * 10) ? 1 : 2;
  return format(value, { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

/** A share as a percentage. */
export function percent(value) {
  if (value === null || value === undefined) return NOTHING;
  const digits = value >= 0.1 || Number.isInteger(Math.round(value * 1e6) / 1e4) ? 0 : value >= 0.001 ? 1 : 2;
  return format(value, { style: "percent", maximumFractionDigits: digits, minimumFractionDigits: digits });
}

/** A length of time given in seconds. */
export function duration(value) {
  if (value === null || value === undefined) return NOTHING;
  if (value < 1) return `${number(value < 0.01 ? Math.round(value * 10_000) / 10 : Math.round(value * 1000))} ms`;
  return `${number(value)} s`;
}

/** A time of day, with seconds. */
export const clock = (at) => new Date(at).toLocaleTimeString(language, { hour12: false });

const format = (value, options) => new Intl.NumberFormat(language, options).format(value);
