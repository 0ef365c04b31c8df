#pragma once

// Every setting (GUC) of tsext: its variable, defined in settings.cpp with unit, range, context and
// description.

namespace tsext::pg {

extern bool enable_bulk;  // column writers for COPY, INSERT … SELECT, CREATE TABLE AS
extern bool
    enable_scan;  // TsextScan custom node (projection and pruning); off = plain sequential scan
extern bool enable_last;       // TsextLast custom node (newest row of every series)
extern bool enable_aggregate;  // TsextAggregate custom node; off = PostgreSQL's aggregation
extern int
    bulk_memory_kb;  // memory a bulk writer may use for buffered rows; -1 = maintenance_work_mem
extern int compact_rows;      // hot rows of a chunk that start a compaction
extern int compact_bytes_kb;  // hot bytes of a table that start a compaction
extern int compact_age_s;     // age of the oldest hot row of a chunk that starts a compaction
extern int cold_after_s;  // age after which a chunk is rewritten with the COLD codecs; -1 = never
extern int compact_naptime_s;     // pause between two rounds of the background worker
extern bool compact_background;   // whether the background worker compacts at all
extern int max_job_workers;       // job workers a database may have at the same time
extern int footer_cache_size_kb;  // memory a backend may keep for parsed segment heads

// Line protocol: tsext.write_lines() and the listeners.
extern bool auto_create;       // whether a new measurement makes a table
extern bool auto_add_columns;  // whether a new tag or field makes a column
extern int max_columns;        // a table may get by itself
extern int max_tables;         // a schema may get by itself
extern int max_series;         // a warning beyond it; 0 = never
extern bool keep_ns;           // whether tables get a column for nanoseconds

/// Effective limit in bytes for buffered rows of a bulk writer.
unsigned long BulkMemoryBytes();

/// Called once from _PG_init.
void DefineSettings();

}  // namespace tsext::pg
