// Runs SQL in DuckDB: one statement a line of standard input; answers each with a line of JSON {ms, rows} or {error}.
// A line "\time STATEMENT" is answered without the rows.
//
//   node duckdb.mjs FILE.db [THREADS]
import { createRequire } from 'node:module';
import readline from 'node:readline';
const require = createRequire(process.env.TSEXT_NODE_MODULES + '/');
const { DuckDBInstance } = require('@duckdb/node-api');

const [file, threads] = process.argv.slice(2);
const instance = await DuckDBInstance.create(file, threads ? { threads } : {});
const connection = await instance.connect();
const plain = (key, value) => (typeof value === 'bigint' ? value.toString() : value);
for await (const line of readline.createInterface({ input: process.stdin })) {
  const timed = line.startsWith('\\time ');
  const statement = timed ? line.slice(6) : line;
  try {
    const start = performance.now();
    const reader = await connection.runAndReadAll(statement);
    const ms = performance.now() - start;
    console.log(JSON.stringify({ ms, rows: timed ? null : reader.getRowsJson() }, plain));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
connection.closeSync();
