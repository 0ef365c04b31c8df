-- Line protocol is UTF-8, whatever the database is.
SET client_min_messages = warning;
SELECT current_database() AS home \gset
CREATE DATABASE line_encoding_latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE DATABASE line_encoding_ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;

\c line_encoding_latin1
SET client_encoding = 'UTF8';
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE EXTENSION tsext;
SELECT * FROM tsext.write_lines(E'größe,ort=Köln wert="süß",ü=1 1\ngröße,ort=Wien wert="x" 1');
-- The same in bytes; then a tag, a field's name, a measurement and a string with a euro sign (E2 82 AC), which LATIN1 lacks.
SELECT * FROM tsext.write_lines(decode(
  '6772c3b6c39f652c6f72743d4bc3b66c6e20776572743d2273c3bcc39f2220320a' ||
  '6772c3b6c39f652c6f72743de282ac20783d3120310a' ||
  '6772c3b6c39f6520e282ac3d3120310a' ||
  'e282ac20783d3120310a' ||
  '6772c3b6c39f6520776572743d22e282ac2220310a' ||
  '6772c3b6c39f6520776572743d22c3a42220330a', 'hex'));
SELECT ort, wert, octet_length(wert), "ü" FROM "größe" ORDER BY ort, wert;
SELECT * FROM tsext.parse_lines('größe,ort=Köln wert="süß",ü=1 1');
SELECT * FROM tsext.write_lines('m x=1', 'µs');

\c line_encoding_ascii
SET client_min_messages = warning;
CREATE EXTENSION tsext;
SELECT * FROM tsext.write_lines(decode('6d2c743dc3b620733d22c39f2220310a6d2c743dff20733d22612220310a', 'hex'));
SELECT convert_to(t, 'SQL_ASCII'), convert_to(s, 'SQL_ASCII') FROM m;

\c :home
DROP DATABASE line_encoding_latin1;
DROP DATABASE line_encoding_ascii;
