-- For every table of ours: what a publisher FOR ALL TABLES sends of its own never lands in a subscriber's.
DO $$
DECLARE
  catalog_table pg_catalog.regclass;
BEGIN
  FOR catalog_table IN
    SELECT oid FROM pg_catalog.pg_class WHERE relnamespace = 'tsext'::pg_catalog.regnamespace AND relkind = 'r' ORDER BY relname
  LOOP
    EXECUTE pg_catalog.format('CREATE OR REPLACE TRIGGER ignore_replicated_row BEFORE INSERT OR UPDATE OR DELETE ON %s '
      'FOR EACH ROW EXECUTE FUNCTION tsext.ignore_replicated_row()', catalog_table);
    EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE REPLICA TRIGGER ignore_replicated_row', catalog_table);
  END LOOP;
END $$;
