// The digit demonstration of chapter 11. The network and its weights are files that the notebook has published; nothing
// is loaded before the reader starts it, and nothing comes from elsewhere.
"use strict";

{
  const TEXT = {
    start: "Start the demonstration (about half a megabyte)",
    loading: "Loading ...",
    failed: "The demonstration could not be loaded: ",
    engine: "Computed by",
    javascript: "the hand-written JavaScript above",
    onnx: "ONNX Runtime Web (loads 15 MB of WebAssembly once)",
    onnxNeedsServer: "ONNX Runtime Web (needs a web server: this page was opened from a file)",
    draw: "Draw a digit here, with the mouse or a finger. By keyboard, choose a test digit instead.",
    canvas: "Drawing area for one digit",
    clear: "Clear",
    pick: "or take a test digit",
    choose: "choose ...",
    option: (n, label) => `test digit ${n}: a ${label}`,
    seen: "What the network sees: 28 by 28 pixels",
    table: "Probability of each digit",
    digit: "digit",
    probability: "probability",
    says: (label, p) => `The network says ${label}, with probability ${p}.`,
    empty: "Nothing is drawn yet.",
    compare: "Compare 200 test digits with Python",
    compared: (same, n, difference, ms) =>
      `${same} of ${n} answers are those of Python; the largest difference of a logit is ${difference}. ${ms} ms a digit.`,
  };
  const SIDE = 28;
  const BOARD = 280;
  const assets = new URL(".", document.currentScript.src);

  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  const script = (path) =>
    new Promise((resolve, reject) => {
      const element = make("script", { src: new URL(path, assets) });
      element.addEventListener("load", resolve);
      element.addEventListener("error", () => reject(new Error(path)));
      document.head.append(element);
    });

  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const floats = (base64) => new Float32Array(bytes(base64).buffer);

  const softmax = (logits) => {
    const top = Math.max(...logits);
    const powers = Array.from(logits, (v) => Math.exp(v - top));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((v) => v / sum);
  };

  // As the digits of MNIST were made: the ink's box, its longer side scaled to 20 pixels, its centre of mass at (14, 14).
  const toDigit = (ink, width, height) => {
    let [left, top, right, bottom] = [width, height, -1, -1];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (ink[y * width + x] > 0) {
          [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
        }
      }
    }
    if (right < 0) return null;
    const scale = 20 / Math.max(right - left + 1, bottom - top + 1);
    const columns = Math.max(1, Math.round((right - left + 1) * scale));
    const rows = Math.max(1, Math.round((bottom - top + 1) * scale));
    const small = new Float32Array(rows * columns);
    let [mass, centreX, centreY] = [0, 0, 0];
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        let [sum, count] = [0, 0]; // the mean of the pixels that fall into this one
        for (let y = Math.floor(top + i / scale); y < Math.min(top + (i + 1) / scale, bottom + 1); y++) {
          for (let x = Math.floor(left + j / scale); x < Math.min(left + (j + 1) / scale, right + 1); x++) {
            sum += ink[y * width + x];
            count += 1;
          }
        }
        const value = count ? sum / count : 0;
        small[i * columns + j] = value;
        mass += value;
        centreX += value * j;
        centreY += value * i;
      }
    }
    const within = (shift, size) => Math.max(0, Math.min(SIDE - size, shift));
    const dx = within(Math.round(SIDE / 2 - centreX / mass), columns);
    const dy = within(Math.round(SIDE / 2 - centreY / mass), rows);
    const pixels = new Uint8Array(SIDE * SIDE);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) pixels[(i + dy) * SIDE + j + dx] = Math.round(small[i * columns + j]);
    }
    return pixels;
  };

  let session = null;
  const engines = {
    javascript: {
      ready: async () => {},
      run: async (pixels) => digitNetwork(pixels, engines.weights),
    },
    onnx: {
      ready: async () => {
        if (session) return;
        const folder = new URL("vendor/onnxruntime-web/", assets).href;
        const runtime = await import(`${folder}ort.wasm.min.mjs`);
        runtime.env.wasm.wasmPaths = folder;
        runtime.env.wasm.numThreads = 1; // more threads would need special headers from the web server
        session = await runtime.InferenceSession.create(new URL("artifacts/models/digits/1/model.onnx", assets).href);
        engines.tensor = runtime.Tensor;
      },
      run: async (pixels) => {
        const answer = await session.run({ image: new engines.tensor("uint8", pixels, [1, SIDE, SIDE]) });
        return answer.logits.data;
      },
    },
  };

  const begin = async (place) => {
    await script("artifacts/browser/network.js");
    await script("artifacts/browser/digits.js");
    engines.weights = DIGITS.weights.map(floats);
    const images = bytes(DIGITS.images);
    const expected = floats(DIGITS.logits);
    const n = DIGITS.labels.length;
    const image = (k) => images.subarray(k * SIDE * SIDE, (k + 1) * SIDE * SIDE);

    const board = make("canvas", { width: BOARD, height: BOARD, role: "img", "aria-label": TEXT.canvas, class: "demo-board" });
    const seen = make("canvas", { width: SIDE, height: SIDE, role: "img", "aria-label": TEXT.seen, class: "demo-seen" });
    const pen = board.getContext("2d", { willReadFrequently: true });
    const said = make("p", { role: "status", class: "demo-said" }, TEXT.empty);
    const report = make("p", { role: "status" });
    const meters = [];
    const numbers = [];
    const rows = Array.from({ length: 10 }, (_, k) => {
      meters.push(make("meter", { min: 0, max: 1, value: 0, "aria-label": `${TEXT.probability} ${k}` }));
      numbers.push(make("td", { class: "number" }, "0.000"));
      return make("tr", {}, make("th", { scope: "row" }, `${k}`), make("td", {}, meters[k]), numbers[k]);
    });

    let [chosen, asked] = ["javascript", 0];
    let choosing = Promise.resolve(); // an engine is being loaded: whoever wants an answer waits for the chosen one
    const show = async (pixels) => {
      const turn = ++asked;
      const context = seen.getContext("2d");
      const picture = context.createImageData(SIDE, SIDE);
      for (let k = 0; k < SIDE * SIDE; k++) picture.data.fill(255 - (pixels ? pixels[k] : 0), 4 * k, 4 * k + 3);
      for (let k = 0; k < SIDE * SIDE; k++) picture.data[4 * k + 3] = 255;
      context.putImageData(picture, 0, 0);
      const probabilities = pixels ? softmax(await engines[chosen].run(pixels)) : Array(10).fill(0);
      if (turn !== asked) return; // a newer drawing is being judged
      probabilities.forEach((p, k) => {
        meters[k].value = p;
        numbers[k].textContent = p.toFixed(3);
      });
      const best = probabilities.indexOf(Math.max(...probabilities));
      rows.forEach((row, k) => row.classList.toggle("demo-best", Boolean(pixels) && k === best));
      said.textContent = pixels ? TEXT.says(best, probabilities[best].toFixed(3)) : TEXT.empty;
    };

    let current = null;
    const judge = (pixels) => {
      current = pixels;
      return show(pixels);
    };
    const read = () => {
      const { data } = pen.getImageData(0, 0, BOARD, BOARD);
      return toDigit(Uint8Array.from({ length: BOARD * BOARD }, (_, k) => data[4 * k + 3]), BOARD, BOARD);
    };
    const wipe = () => pen.clearRect(0, 0, BOARD, BOARD);
    const at = (event) => {
      const box = board.getBoundingClientRect();
      return [((event.clientX - box.left) * BOARD) / box.width, ((event.clientY - box.top) * BOARD) / box.height];
    };
    pen.lineWidth = 22;
    pen.lineCap = pen.lineJoin = "round";
    board.addEventListener("pointerdown", (event) => {
      board.setPointerCapture(event.pointerId);
      pick.value = "";
      pen.beginPath();
      pen.moveTo(...at(event));
      pen.lineTo(...at(event));
      pen.stroke();
    });
    board.addEventListener("pointermove", (event) => {
      if (!board.hasPointerCapture(event.pointerId)) return;
      pen.lineTo(...at(event));
      pen.stroke();
    });
    board.addEventListener("pointerup", () => judge(read()));

    const clear = make("button", { type: "button" }, TEXT.clear);
    clear.addEventListener("click", () => {
      wipe();
      pick.value = "";
      judge(null);
    });
    const pick = make("select", {}, make("option", { value: "" }, TEXT.choose));
    for (let k = 0; k < 20; k++) pick.append(make("option", { value: k }, TEXT.option(k + 1, DIGITS.labels[k])));
    pick.addEventListener("change", () => {
      wipe();
      if (pick.value === "") return judge(null);
      const pixels = image(Number(pick.value));
      const cell = BOARD / SIDE;
      for (let k = 0; k < SIDE * SIDE; k++) {
        pen.globalAlpha = pixels[k] / 255;
        pen.fillRect((k % SIDE) * cell, Math.floor(k / SIDE) * cell, cell, cell);
      }
      pen.globalAlpha = 1;
      return judge(pixels);
    });

    const fromFile = location.protocol === "file:";
    const choices = ["javascript", "onnx"].map((name) => {
      const input = make("input", { type: "radio", name: "demo-engine", value: name });
      input.checked = name === chosen;
      input.disabled = name === "onnx" && fromFile;
      const choose = async () => {
        said.textContent = TEXT.loading;
        try {
          await engines[name].ready();
          chosen = name;
        } catch (error) {
          report.textContent = TEXT.failed + error.message;
          choices[0].querySelector("input").checked = true;
          chosen = "javascript";
        }
        await show(current);
      };
      input.addEventListener("change", () => {
        choosing = choosing.then(choose);
      });
      return make("label", {}, input, ` ${name === "onnx" && fromFile ? TEXT.onnxNeedsServer : TEXT[name]}`);
    });

    const compare = make("button", { type: "button" }, TEXT.compare);
    compare.addEventListener("click", async () => {
      await choosing;
      let [same, largest] = [0, 0];
      const started = performance.now();
      for (let k = 0; k < n; k++) {
        const logits = Array.from(await engines[chosen].run(image(k)));
        const wanted = Array.from(expected.subarray(10 * k, 10 * k + 10));
        same += logits.indexOf(Math.max(...logits)) === wanted.indexOf(Math.max(...wanted));
        largest = Math.max(largest, ...logits.map((v, j) => Math.abs(v - wanted[j])));
      }
      const each = ((performance.now() - started) / n).toFixed(1);
      place.dataset.engine = chosen;
      place.dataset.same = same;
      place.dataset.largest = largest;
      report.textContent = TEXT.compared(same, n, largest.toExponential(1), each);
    });

    place.replaceChildren(
      make("fieldset", {}, make("legend", {}, TEXT.engine), ...choices),
      make(
        "div",
        { class: "demo-columns" },
        make("div", {}, make("p", {}, TEXT.draw), board, make("div", { class: "demo-row" }, clear, make("label", {}, `${TEXT.pick} `, pick))),
        make(
          "div",
          {},
          said,
          make(
            "table",
            {},
            make("caption", {}, TEXT.table),
            make("thead", {}, make("tr", {}, make("th", { scope: "col" }, TEXT.digit), make("th", { scope: "col", colspan: 2 }, TEXT.probability))),
            make("tbody", {}, ...rows),
          ),
          make("p", {}, TEXT.seen),
          seen,
        ),
      ),
      make("div", { class: "demo-row" }, compare),
      report,
    );
    await show(null);
    board.scrollIntoView({ block: "nearest" });
    choices[0].querySelector("input").focus();
  };

  for (const place of document.querySelectorAll(".digit-demo")) {
    const start = make("button", { type: "button" }, TEXT.start);
    start.addEventListener("click", async () => {
      start.textContent = TEXT.loading;
      try {
        await begin(place);
      } catch (error) {
        place.replaceChildren(make("p", { role: "alert" }, TEXT.failed + error.message), start);
        start.textContent = TEXT.start;
      }
    });
    place.replaceChildren(start);
  }
}
