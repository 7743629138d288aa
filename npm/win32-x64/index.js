// Where this package's files are. Literal names, so that file tracers find them.
const { join } = require("node:path");

exports.version = require("./package.json").version;
exports.bridge = join(__dirname, "pagewire.node");
exports.library = join(__dirname, "libpagewire.dll");
exports.command = join(__dirname, "pagewire.exe");
