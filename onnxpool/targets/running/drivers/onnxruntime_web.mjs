// ONNX Runtime Web in Node, on WebAssembly: node onnxruntime_web.mjs FOLDER PACKAGES
//
// PACKAGES is where npm has installed. FOLDER holds model.onnx, which is loaded; {} is printed. Then
// each line of standard input, {"inputs": [{"name", "dtype", "shape"}…], "outputs": [NAME…]}, runs it
// on the values of given0.bin, given1.bin, …, writes output k to k.bin, and prints
// [{"dtype", "shape"}…]; where that fails, {"error": TEXT}.

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

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

function tensor(k, { dtype, shape }) {
  const bytes = fs.readFileSync(file(`given${k}.bin`));
  const size = ARRAYS[dtype].BYTES_PER_ELEMENT;
  const values = new ARRAYS[dtype](bytes.buffer, bytes.byteOffset, bytes.length / size);
  return new ort.Tensor(dtype, values, shape);
}

async function run(session, { inputs, outputs }) {
  const given = Object.fromEntries(inputs.map((input, k) => [input.name, tensor(k, input)]));
  const results = await session.run(given);
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
