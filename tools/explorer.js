// Two sliders over the laws: every move solves for the best mixture again and shows its shares and losses.

"use strict";

(() => {
  const model = JSON.parse(document.getElementById("explorer-laws").textContent);
  const find = (name) => document.getElementById(`explorer-${name}`);
  const plan = { budget: model.budget, floor: model.floor };
  const even = model.domains.map(() => 1 / model.domains.length);
  let chosen = { ...plan };

  const stops = (name) => Number(find(name).max);
  const draws = (value) => Math.round(value).toLocaleString("en-US");
  const percent = (part) => `${(100 * part).toFixed(1)} %`;
  const signed = (part) => {
    const text = percent(Math.abs(part));
    return `${text === percent(0) ? "" : part > 0 ? "+" : "−"}${text}`;
  };
  const thousandths = (loss) => (1e3 * loss).toFixed(2);

  function element(tag, text, parent) {
    const made = document.createElement(tag);
    made.textContent = text;
    parent.append(made);
    return made;
  }

  // A line a domain: its name, a bar with a tick at the uniform share, its share.
  const bars = model.domains.map((domain, j) => {
    const line = element("li", "", find("shares"));
    element("span", domain, line);
    const track = element("span", "", line);
    track.className = "track";
    const bar = element("i", "", track), tick = element("b", "", track);
    tick.style.left = percent(even[j]).replace(" ", "");
    return { bar, share: element("span", "", line) };
  });

  const rows = [...model.targets, "mean"].map((target) => {
    const line = element("tr", "", find("losses"));
    element("th", target, line).scope = "row";
    return [0, 1, 2].map(() => element("td", "", line));
  });

  function caution(ratio) {
    if (ratio > 1.0001) {
      return `Beyond the runs: ${ratio.toFixed(1)} times the largest budget that the laws were fitted to. An extrapolation.`;
    }
    const where = ratio * model.largest < model.smallest * 0.9999 ? "Below the smallest budget" : "Within the budgets";
    return `${where} that the laws were fitted to.`;
  }

  function show() {
    const { budget, floor } = chosen;
    const shares = solver.solve(model, budget, floor);
    bars.forEach(({ bar, share }, j) => {
      bar.style.width = `${100 * shares[j]}%`;
      share.textContent = percent(shares[j]);
    });
    const best = [...solver.predict(model, shares, budget), solver.mean(model, shares, budget)];
    const uniform = [...solver.predict(model, even, budget), solver.mean(model, even, budget)];
    rows.forEach(([loss, other, change], i) => {
      loss.textContent = thousandths(best[i]);
      other.textContent = thousandths(uniform[i]);
      change.textContent = signed(best[i] / uniform[i] - 1);
    });
    const ratio = budget / model.largest;
    find("note").textContent = caution(ratio);
    find("note").classList.toggle("far", ratio > 1.0001);
    label("budget", `${draws(budget)} draws`);
    label("floor", percent(floor));
  }

  function label(name, text) {
    find(`${name}-value`).textContent = text;
    find(name).setAttribute("aria-valuetext", text);
  }

  function place() {
    const { least, most } = model.range;
    find("budget").value = stops("budget") * ((Math.log2(chosen.budget / model.largest) - least) / (most - least));
    find("floor").value = stops("floor") * (model.highest ? chosen.floor / model.highest : 0);
  }

  let waiting = 0;
  function later() {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(show);
  }

  find("budget").addEventListener("input", (event) => {
    const part = Number(event.target.value) / stops("budget"), { least, most } = model.range;
    chosen.budget = Number((model.largest * 2 ** (least + part * (most - least))).toPrecision(3));
    later();
  });
  find("floor").addEventListener("input", (event) => {
    chosen.floor = (model.highest * Number(event.target.value)) / stops("floor");
    later();
  });
  find("reset").addEventListener("click", () => {
    chosen = { ...plan };
    place();
    later();
  });

  find("panel").hidden = false;
  place();
  show();
})();
