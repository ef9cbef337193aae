// Saved views: a search with its order and columns, under a name, for everybody who sees the project.

import { make, near, recall, remember, say } from "./dom.js";

const menu = document.getElementById("views");
const dialog = document.getElementById("bulk");
const { views = "", project = "" } = menu?.dataset ?? {};

/** Ask for a name, and save what is listed. */
function save() {
  if (!(dialog instanceof HTMLDialogElement)) return;
  const form = document.createElement("form");
  form.method = "dialog";
  const label = make("label", "", "Name");
  const input = document.createElement("input");
  Object.assign(input, { name: "name", required: true, maxLength: 200, autocomplete: "off" });
  label.append(input);
  const refused = make("p", "refused");
  refused.setAttribute("role", "alert");
  const acts = make("p", "acts");
  acts.append(make("button", "btn main", "Save"));
  form.append(make("h2", "", "Save this search"), label, refused, acts);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const here = new URL(location.href).searchParams;
    const columns = recall("columns");
    const body = {
      project: decodeURIComponent(project),
      name: input.value,
      q: here.get("q") ?? "",
      order: here.get("order") ?? "-start_time",
      columns: columns === null ? [] : columns.split(" ").filter(Boolean),
    };
    const headers = { "content-type": "application/json" };
    const answer = await fetch(views, { method: "POST", headers, body: JSON.stringify(body) }).catch(() => null);
    const told = await answer?.json().catch(() => null);
    if (answer?.ok) location.reload();
    else refused.textContent = told?.error?.message ?? "The server did not answer.";
  });
  dialog.setAttribute("aria-label", "Save this search");
  dialog.replaceChildren(form);
  dialog.showModal();
  input.focus();
}

menu?.addEventListener("click", async (event) => {
  if (near(event, "#save-view")) save();
  const link = near(event, "a[data-columns]");
  if (link?.dataset.columns) remember("columns", link.dataset.columns);
  const button = near(event, "[data-drop-view]");
  if (!button) return;
  const answer = await fetch(`${views}/${button.dataset.dropView}`, { method: "DELETE" }).catch(() => null);
  if (answer?.ok || answer?.status === 404) button.closest("li")?.remove();
  else say("The view could not be deleted");
});
