// The clients of npm, run by clients.py: influx and @influxdata/influxdb-client write, pg reads back with
// prepared statements. Prints one JSON object a check.
const Influx = require('influx');
const { InfluxDB, Point } = require('@influxdata/influxdb-client');
const { Client } = require('pg');

const url = `http://127.0.0.1:${process.env.TSEXT_HTTP_PORT}`;
const check = (name, got, expected) => {
  const good = JSON.stringify(got) === JSON.stringify(expected);
  if (good) { console.log(JSON.stringify({ name, good })); return; }
  const at = Array.isArray(got) ? Math.max(0, got.findIndex((value, i) => JSON.stringify(value) !== JSON.stringify(expected[i]))) : 0;
  const show = (value) => (Array.isArray(value) ? `${value.length} values, from ${at}: ${JSON.stringify(value.slice(at, at + 3))}` : JSON.stringify(value));
  console.log(JSON.stringify({ name, good, details: `got ${show(got)}\nexpected ${show(expected)}` }));
};

async function main() {
  const server = { host: process.env.PGHOST, port: Number(process.env.PGPORT), user: 'postgres', database: 'postgres' };
  const pg = new Client(server);
  await pg.connect();

  const influx = new Influx.InfluxDB({ host: '127.0.0.1', port: Number(process.env.TSEXT_HTTP_PORT), database: 'node1' });
  await influx.createDatabase('node1');
  check('influx: databases', (await influx.getDatabaseNames()).includes('node1'), true);
  const points = [];
  for (let i = 0; i < 500; i++) {
    points.push({ measurement: 'air', tags: { room: `r${i % 5}` }, fields: { temp: i + 0.5, label: `l ${i}` }, timestamp: new Date(1700000000000 + i) });
  }
  await influx.writePoints(points, { precision: 'ms' });
  const read = { name: 'air', text: 'SELECT room, temp, label, time FROM node1.air WHERE room = $1 ORDER BY time', values: ['r2'] };
  const expected = points.filter((p) => p.tags.room === 'r2').map((p) => [p.tags.room, p.fields.temp, p.fields.label, p.timestamp.getTime()]);
  const text = await pg.query({ ...read, name: 'air' });
  check('influx: every value, prepared', text.rows.map((r) => [r.room, r.temp, r.label, r.time.getTime()]), expected);
  const found = await influx.query('SELECT time, temp FROM air ORDER BY time LIMIT 2');
  check('influx: query', found.map((r) => [r.time.getTime(), r.temp]), [[1700000000000, 0.5], [1700000000001, 1.5]]);
  check('influx: measurements', await influx.getMeasurements(), ['air']);

  await influx.createDatabase('node2');
  for (const [name, gzipThreshold] of [['plain', 1e9], ['gzip', 1]]) {
    const write = new InfluxDB({ url, token: 'none' }).getWriteApi('org', 'node2', 'us', { gzipThreshold, batchSize: 200, maxRetries: 0,
      writeFailed: (error) => check(`influxdb-client: ${name}`, String(error.stack), '') });
    for (let i = 0; i < 500; i++) {
      write.writePoint(new Point(name).tag('room', `r ${i % 5}`).floatField('temp', i / 3).intField('n', i).uintField('u', i).booleanField('b', i % 2 === 0)
        .stringField('s', `"${i}"\\`).timestamp(String(1700000000000000 + i)));
    }
    await write.close();   // which waits for the last batch only
    const read = () => pg.query(`SELECT room, temp, n, u, b, s FROM node2."${name}" ORDER BY time`);
    let { rows } = await read();
    for (let i = 0; i < 1800 && rows.length < 500; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      ({ rows } = await read());
    }
    check(`influxdb-client: ${name}, every value`, rows.map((r) => [r.room, r.temp, Number(r.n), Number(r.u), r.b, r.s]),
      Array.from({ length: 500 }, (_, i) => [`r ${i % 5}`, i / 3, i, i, i % 2 === 0, `"${i}"\\`]));
  }
  const bad = new InfluxDB({ url, token: 'none' }).getWriteApi('org', 'nosuch', 'ns', { maxRetries: 0 });
  bad.writeRecord('m v=1');
  let status = 0;
  try { await bad.close(); } catch (error) { status = error.statusCode; }
  check('influxdb-client: an error is told', status, 404);
  await pg.end();
}

main().catch((error) => { console.error(error); process.exit(1); });
