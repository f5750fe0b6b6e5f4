// ONNX Runtime Web in Node, on WebAssembly: node onnxruntime_web.mjs FOLDER PACKAGES
//
// PACKAGES is where npm has installed. FOLDER holds model.onnx, which is loaded; {} is printed. Then
// each line of standard input, {"input": NAME, "outputs": [NAME…], "shape": [N, C, …]}, runs it on
// the float32 values of x.bin, writes output k to k.bin, and prints [{"dtype", "shape"}…]; where
// that fails, {"error": TEXT}.

import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { createRequire } from "node:module";

const [folder, packages] = process.argv.slice(2);
const require = createRequire(path.join(packages, "package.json"));
const ort = require("onnxruntime-web");
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "fatal";

const file = (name) => path.join(folder, name);
const print = (answer) => console.log(JSON.stringify(answer));

async function run(session, { input, outputs, shape }) {
  const bytes = fs.readFileSync(file("x.bin"));
  const x = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const results = await session.run({ [input]: new ort.Tensor("float32", x, shape) });
  return outputs.map((name, k) => {
    const { data, type, dims } = results[name];
    fs.writeFileSync(file(`${k}.bin`), Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    return { dtype: type, shape: dims };
  });
}

try {
  const session = await ort.InferenceSession.create(fs.readFileSync(file("model.onnx")));
  print({});
  for await (const line of readline.createInterface({ input: process.stdin })) {
    print(await run(session, JSON.parse(line)));
  }
} catch (error) {
  print({ error: String(error) });
  process.exit(1);
}
