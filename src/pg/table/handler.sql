CREATE FUNCTION tsext.handler(internal) RETURNS table_am_handler LANGUAGE c AS 'MODULE_PATHNAME', 'tsext_handler';
COMMENT ON FUNCTION tsext.handler(internal) IS 'access method handler of tsext tables';
CREATE ACCESS METHOD tsext TYPE TABLE HANDLER tsext.handler;
COMMENT ON ACCESS METHOD tsext IS 'hot rows in a heap, cold rows in compressed column segments';
