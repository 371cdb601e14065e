// Leaves in a style sheet what pages can use. Reads {"css": ..., "words": ...} from standard input; the package is argument 1.
const { PurgeCSS } = require(process.argv[2]);

const { css, words } = JSON.parse(require("fs").readFileSync(0, "utf8"));
new PurgeCSS()
  .purge({
    css: [{ raw: css }],
    content: [{ raw: words, extension: "txt" }],
    defaultExtractor: (text) => text.match(/[\w-]+/g) ?? [],
  })
  .then(([result]) => process.stdout.write(result.css));
