-- Loads demo/data into tsext tables and, row for row the same, into their heap twins. Run from the project's folder.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE EXTENSION tsext;

-- A time column and USING tsext are enough. Chunks, sorting and compression follow by themselves.
CREATE TABLE air_quality (
  time timestamptz NOT NULL,
  pm25 int,              -- µg/m³
  dew_point int,         -- °C
  temperature float8,    -- °C
  pressure float8,       -- hPa
  wind text,
  wind_speed float8,     -- m/s, summed up since the wind turned
  snow_hours int,
  rain_hours int
) USING tsext;

CREATE TABLE sensors (time timestamptz NOT NULL, sensor text NOT NULL, value float8) USING tsext;

CREATE TABLE air_quality_heap (LIKE air_quality) USING heap;
CREATE TABLE sensors_heap (LIKE sensors) USING heap;

\copy air_quality_heap FROM PROGRAM 'tail -n +2 demo/data/beijing_pm25.csv | awk -F, ''{ sub(/\r$/, ""); printf "%d-%02d-%02d %02d:00+08,%s,%s,%s,%s,%s,%s,%s,%s\n", $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 }''' WITH (FORMAT csv, NULL 'NA')
\copy air_quality FROM PROGRAM 'tail -n +2 demo/data/beijing_pm25.csv | awk -F, ''{ sub(/\r$/, ""); printf "%d-%02d-%02d %02d:00+08,%s,%s,%s,%s,%s,%s,%s,%s\n", $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 }''' WITH (FORMAT csv, NULL 'NA')
\copy sensors_heap FROM PROGRAM 'cd demo/data/nab && awk -F, ''FNR > 1 { sub(/\.csv$/, "", FILENAME); print $1 "," FILENAME "," $2 }'' *.csv' WITH (FORMAT csv)
\copy sensors FROM PROGRAM 'cd demo/data/nab && awk -F, ''FNR > 1 { sub(/\.csv$/, "", FILENAME); print $1 "," FILENAME "," $2 }'' *.csv' WITH (FORMAT csv)

-- A background worker does this by itself; here it is done at once.
SELECT * FROM tsext.compact('air_quality');
SELECT * FROM tsext.compact('sensors');
