CREATE OR REPLACE FUNCTION tsext.wake_launcher() RETURNS
    void LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME',
    'tsext_wake_launcher';
COMMENT ON FUNCTION tsext.wake_launcher() IS
    'lets the launcher look for databases with the extension after this transaction (internal)';
REVOKE ALL ON FUNCTION tsext.wake_launcher() FROM PUBLIC;
SELECT tsext.wake_launcher();
