"use strict";
/* Browses the rows of a page: filters, sorts, opens the seeds of a row, saves what is shown. All state is in
   the page's address, so that a link shows what its sender saw. */
(() => {
  const PUBLISHED = "published", MARK = "#board?";
  const SVG = "http://www.w3.org/2000/svg";

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== null) element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  function drawn(name, attributes, text) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text) element.append(drawn("title", {})), (element.firstChild.textContent = text);
    return element;
  }

  const unique = (values) => [...new Set(values)];
  const number = (value) => (value === null ? "–" : value.toFixed(3).replace("-", "−"));
  const key = (row) => [row.source, row.dataset, row.protocol, row.title].join("\t");

  function explore(root) {
    const rows = JSON.parse(root.querySelector("script.rows").textContent);
    if (!rows.length) return;
    const measured = rows.filter((row) => row.protocol !== PUBLISHED);
    // what is looked at first: the place with the most seeds of one training, and then with the most scores
    const places = new Map();
    for (const row of measured) {
      const place = [row.source, row.dataset, row.protocol].join("\t");
      const [most, all] = places.get(place) || [0, 0];
      places.set(place, [Math.max(most, row.n), all + row.n]);
    }
    const [first] = [...places].sort(([, a], [, b]) => b[0] - a[0] || b[1] - a[1])[0];
    const [source, data, protocol] = first.split("\t");
    const start = { source, data, protocol, metrics: null, methods: null,
      sort: "", order: "", open: "", papers: true };
    const state = { ...start };

    function remember() {
      const kept = new URLSearchParams();
      if (state.source !== start.source) kept.set("result", state.source);
      if (state.data !== start.data) kept.set("data", state.data);
      if (state.protocol !== start.protocol) kept.set("protocol", state.protocol);
      if (state.metrics) kept.set("metrics", [...state.metrics].join("|"));
      if (state.methods) kept.set("methods", [...state.methods].join("|"));
      if (state.sort) kept.set("sort", state.sort), kept.set("order", state.order);
      if (state.open) kept.set("open", state.open);
      if (!state.papers) kept.set("papers", "no");
      const text = kept.toString();
      if (text) history.replaceState(null, "", MARK + text);
      else if (location.hash.startsWith(MARK)) history.replaceState(null, "", location.pathname + location.search);
    }

    function recall() {
      if (!location.hash.startsWith(MARK)) return;
      const kept = new URLSearchParams(location.hash.slice(MARK.length));
      const known = (name, all) => {
        const text = kept.get(name);
        if (text === null) return null;
        const found = text.split("|").filter((each) => all.includes(each));
        return found.length ? new Set(found) : null;
      };
      const one = (name, all, otherwise) => (all.includes(kept.get(name)) ? kept.get(name) : otherwise);
      state.source = one("result", ["", ...measured.map((row) => row.source)], start.source);
      state.data = one("data", ["", ...measured.map((row) => row.dataset)], start.data);
      state.protocol = one("protocol", ["", ...measured.map((row) => row.protocol)], start.protocol);
      state.metrics = known("metrics", rows.map((row) => row.measure));
      state.methods = known("methods", rows.map((row) => row.method));
      state.sort = one("sort", ["method", ...rows.map((row) => row.measure)], "");
      state.order = one("order", ["ascending", "descending"], "descending");
      state.open = kept.get("open") || "";
      state.papers = kept.get("papers") !== "no";
    }

    const family = (dataset) => dataset.slice(0, dataset.lastIndexOf("-"));
    const here = (row) => (!state.source || row.source === state.source) && (!state.data || row.dataset === state.data)
      && (!state.protocol || row.protocol === state.protocol);
    // a paper's images may have another size, which its row says
    const beside = (row) => state.papers && row.protocol === PUBLISHED
      && (!state.data || family(row.dataset) === family(state.data));
    const offered = () => rows.filter((row) => (row.protocol === PUBLISHED ? beside(row) : here(row)));
    // unless others are chosen, the metrics that were measured here under the same presets
    const usual = () => new Set(measured.filter(here).map((row) => row.measure));
    const metrics = () => state.metrics || usual();
    const shown = () => offered().filter((row) =>
      metrics().has(row.measure) && (!state.methods || state.methods.has(row.method)));

    const controls = make("div", { class: "controls", role: "group", "aria-label": "Filters" });
    const summary = make("p", { class: "summary", role: "status" });
    const holder = make("div", { class: "scroll holder", role: "region", tabindex: "0", "aria-label": "Scores" });

    function select(label, name, values) {
      const chosen = make("select", { "data-focus": name, onchange: (event) => {
        state[name] = event.target.value;
        state.open = "";
        if (name === "source" && state.source && !measured.some(here)) {
          // another result has places of its own
          const any = measured.find((row) => row.source === state.source);
          Object.assign(state, { data: any.dataset, protocol: any.protocol });
        }
        update();
      } });
      for (const value of ["", ...values]) chosen.append(make("option", { value }, value || "all"));
      chosen.value = state[name];
      return make("label", {}, label, chosen);
    }

    function boxes(label, name, values) {
      const chosen = name === "metrics" ? metrics() : state[name];
      const count = values.filter((value) => !chosen || chosen.has(value)).length;
      const panel = make("div", { class: "boxes" });
      const change = (set) => {
        state[name] = set;
        update(name);
      };
      panel.append(make("p", {},
        make("button", { type: "button", onclick: () => change(new Set(values)) }, "all"), " ",
        make("button", { type: "button", onclick: () => change(new Set()) }, "none")));
      for (const value of values) {
        const box = make("input", { type: "checkbox", onchange: (event) => {
          const set = new Set(chosen || values);
          if (event.target.checked) set.add(value); else set.delete(value);
          change(set);
        } });
        box.checked = !chosen || chosen.has(value);
        panel.append(make("label", {}, box, value));
      }
      return make("details", { "data-name": name }, make("summary", {}, `${label} (${count} of ${values.length})`), panel);
    }

    function save(text, name) {
      const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    }

    function csv() {
      const columns = ["source", "dataset", "protocol", "method", "title", "settings", "metric", "preset", "n", "failed",
        "mean", "std", "low", "high", "spread", "chance", "note"];
      const field = (value) => {
        let text = value === null ? "" : String(value);
        // a text that a spreadsheet would compute begins with an apostrophe, as in all CSV files of disbench
        if (typeof value === "string" && /^\s*[=+\-@＝＋－＠]/.test(text)) text = "'" + text;
        return /[",\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
      };
      const lines = shown().map((row) => columns.map((column) => field(row[column])).join(","));
      save([columns.join(","), ...lines, ""].join("\n"), "disbench-scores.csv");
    }

    function dots(row) {
      const values = row.scores.filter((score) => score !== null);
      const box = make("div", { class: "dots" });
      const said = [`${values.length} seeds`];
      if (row.low !== null) said.push(`95 % ${number(row.low)} to ${number(row.high)}`);
      if (row.spread !== null) said.push(`spread of one score ${number(row.spread)}`);
      if (row.chance !== null) said.push(`chance ${number(row.chance)}`);
      if (row.failed) said.push(`${row.failed} failed`);
      box.append(make("strong", {}, row.measure), make("span", {}, row.note || said.join(", ")));
      if (!values.length) return box;
      const ends = [...values, ...(row.chance === null ? [] : [row.chance])];
      // scores are shown on 0 to 1, others on their own range
      const [low, high] = Math.min(...ends) >= 0 && Math.max(...ends) <= 1 ? [0, 1]
        : [Math.min(...ends), Math.max(...ends)];
      const x = (value) => 6 + 228 * (high > low ? (value - low) / (high - low) : 0.5);
      const svg = drawn("svg", { viewBox: "0 0 240 46", width: 240, height: 46, role: "img",
        "aria-label": `${row.measure}: ${values.map(number).join(", ")}` });
      svg.append(drawn("line", { x1: 6, x2: 234, y1: 30, y2: 30, class: "axis" }));
      if (row.chance !== null) {
        svg.append(drawn("line", { x1: x(row.chance), x2: x(row.chance), y1: 4, y2: 30, class: "chance" }, "by chance"));
      }
      row.scores.forEach((score, i) => {
        if (score === null) return;
        svg.append(drawn("circle", { cx: x(score), cy: 10 + 5 * (i % 4), r: 3 }, `seed ${row.seeds[i]}: ${number(score)}`));
      });
      svg.append(drawn("line", { x1: x(row.mean), x2: x(row.mean), y1: 4, y2: 34, class: "mean" }, `mean ${number(row.mean)}`));
      for (const [value, anchor] of [[low, "start"], [high, "end"]]) {
        const text = drawn("text", { x: x(value), y: 43, "text-anchor": anchor });
        text.textContent = Number(value.toPrecision(3));
        svg.append(text);
      }
      box.append(svg);
      return box;
    }

    function update(opened = "") {
      const focus = document.activeElement && root.contains(document.activeElement)
        ? document.activeElement.dataset.focus : undefined;
      const wide = [...controls.querySelectorAll("details[open]")].map((each) => each.dataset.name);
      remember();
      const sources = unique(measured.map((row) => row.source));
      const chooses = (name, field) => {
        // what the other choices leave, and what is chosen
        const left = measured.filter((row) => ["source", "data", "protocol"].every((other) => other === name
          || !state[other] || row[{ data: "dataset" }[other] || other] === state[other]));
        return unique([...left.map((row) => row[field]), ...(state[name] ? [state[name]] : [])]);
      };
      controls.replaceChildren(
        ...(sources.length > 1 ? [select("Result", "source", sources)] : []),
        select("Data set", "data", chooses("data", "dataset")),
        select("Protocol", "protocol", chooses("protocol", "protocol")),
        boxes("Metrics", "metrics", unique(offered().map((row) => row.measure))),
        boxes("Methods", "methods", unique(offered().map((row) => row.method))));
      if (rows.length > measured.length) {
        const box = make("input", { type: "checkbox", onchange: (event) => {
          state.papers = event.target.checked;
          update();
        } });
        box.checked = state.papers;
        controls.append(make("label", { class: "check" }, box, "published numbers"));
      }
      controls.append(
        make("button", { type: "button", onclick: csv }, "CSV of these rows"),
        make("button", { type: "button", onclick: () => {
          Object.assign(state, start);
          update();
        } }, "reset"));
      for (const details of controls.querySelectorAll("details")) {
        details.open = wide.includes(details.dataset.name) || details.dataset.name === opened;
      }
      table(shown());
      if (focus) root.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
    }

    function table(visible) {
      const measures = unique(visible.map((row) => row.measure));
      const higher = new Map(visible.map((row) => [row.measure, row.higher]));
      const trainings = new Map();
      for (const row of visible) {
        if (!trainings.has(key(row))) trainings.set(key(row), new Map());
        trainings.get(key(row)).set(row.measure, row);
      }
      const best = new Map();
      for (const measure of measures) {
        const means = visible.filter((row) => row.measure === measure && row.protocol !== PUBLISHED && row.mean !== null)
          .map((row) => row.mean);
        best.set(measure, higher.get(measure) ? Math.max(...means) : Math.min(...means));
      }
      const differing = ["dataset", "protocol", "source"].filter((field) =>
        unique(visible.filter((row) => row.protocol !== PUBLISHED).map((row) => row[field])).length > 1);
      const lines = [...trainings].map(([name, of]) => ({ name, of, any: of.values().next().value }));
      const sort = state.sort || measures[0] || "method";
      const order = state.sort ? state.order : higher.get(sort) === false ? "ascending" : "descending";
      const sign = order === "ascending" ? 1 : -1;
      lines.sort((a, b) => {
        if (sort === "method") return sign * a.any.title.localeCompare(b.any.title, "en", { numeric: true });
        const [x, y] = [a, b].map((line) => line.of.get(sort)?.mean ?? null);
        if (x === null || y === null) return (x === null) - (y === null); // what is missing stays last
        return sign * (x - y);
      });

      const head = (name, text, numeric, below = "") => make("th", { scope: "col", class: numeric ? "n" : null,
        "aria-sort": sort === name ? order : null },
        make("button", { type: "button", "data-focus": "sort " + name, onclick: () => {
          const down = numeric && higher.get(name) !== false ? "descending" : "ascending";
          state.order = sort !== name ? down : order === "ascending" ? "descending" : "ascending";
          state.sort = name;
          update();
        } }, text, ...(below ? [make("small", {}, below)] : [])));
      const body = make("tbody");
      for (const { name, of, any } of lines) {
        const paper = any.protocol === PUBLISHED;
        const place = paper ? `${any.source.split("/")[0]}, ${any.dataset}`
          : differing.map((field) => any[field]).join(", ");
        const open = state.open === name;
        const title = make("button", { type: "button", "aria-expanded": String(open), "data-focus": "open " + name,
          onclick: () => {
            state.open = open ? "" : name;
            update();
          } }, any.title);
        const cells = measures.map((measure) => {
          const row = of.get(measure);
          if (!row) return make("td", { class: "n" }, "");
          const text = row.mean === null ? "–" : number(row.mean) + (row.std === null ? "" : ` ± ${row.std.toFixed(3)}`);
          const first = !paper && row.mean !== null && row.mean === best.get(measure);
          return make("td", { class: "n", title: row.note || null }, first ? make("strong", {}, text) : text);
        });
        const counts = unique([...of.values()].map((row) => row.n));
        body.append(make("tr", { class: paper ? "paper" : null },
          make("th", { scope: "row" }, title, ...(place ? [make("small", {}, place)] : [])),
          make("td", { class: "n" }, counts.map((n) => n ?? "–").join(", ")), ...cells));
        if (open) {
          const panel = make("td", { colspan: measures.length + 2 });
          panel.append(make("div", { class: "opened" }, ...[...of.values()].map(dots)));
          body.append(make("tr", { class: "more" }, panel));
        }
      }
      const headings = new Map(visible.map((row) => [row.measure, row.heading]));
      const columns = measures.map((measure) => {
        const [metric, preset] = headings.get(measure);
        return head(measure, `${metric} ${higher.get(measure) ? "↑" : "↓"}`, true, preset);
      });
      holder.replaceChildren(make("table", { class: "board" },
        make("caption", {}, "Mean ± standard deviation over seeds; a method's name opens its seeds"),
        make("thead", {}, make("tr", {}, head("method", "method", false), make("th", { scope: "col", class: "n" }, "n"),
          ...columns)),
        body));
      const papers = lines.filter((line) => line.any.protocol === PUBLISHED).length;
      summary.replaceChildren(`${lines.length - papers} trainings` + (papers ? `, ${papers} published rows in italics: `
        + "of other budgets, and perhaps on images of another size" : ""));
      const others = unique(offered().filter((row) => row.protocol === PUBLISHED && !metrics().has(row.measure)).map(key));
      if (others.length) {
        summary.append(`; ${others.length} published rows are under presets that are not shown: `,
          make("button", { type: "button", "data-focus": "others", onclick: () => {
            state.metrics = new Set(offered().map((row) => row.measure));
            update();
          } }, "show them"));
      }
    }

    recall();
    root.querySelector(".fallback")?.remove();
    root.append(controls, summary, holder);
    update();
    addEventListener("hashchange", () => {
      if (!location.hash.startsWith(MARK)) return;
      Object.assign(state, start);
      recall();
      update();
    });
  }

  for (const root of document.querySelectorAll(".explorer")) explore(root);
})();
