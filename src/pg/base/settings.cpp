#include "pg/base/settings.hpp"

#include "tsext/kernels.hpp"

#include "pg/base/boundary.hpp"

extern "C" {
#include "utils/guc.h"
}

namespace tsext::pg {

bool enable_bulk = true;
bool enable_scan = true;
bool enable_last = true;
bool enable_aggregate = true;
int bulk_memory_kb = -1;
int compact_rows = 1000000;
int compact_bytes_kb = 64 * 1024;
int compact_age_s = 60;
int cold_after_s = 7 * 24 * 3600;
int compact_naptime_s = 10;
bool compact_background = true;
int max_job_workers = 4;
int footer_cache_size_kb = 16 * 1024;
bool auto_create = true;
bool auto_add_columns = true;
int max_columns = 256;
int max_tables = 1000;
int max_series = 0;
bool keep_ns = false;

namespace {

int simd_setting = static_cast<int>(SimdLevel::kAuto);

const config_enum_entry kSimdNames[] = {{"auto", static_cast<int>(SimdLevel::kAuto), false},
                                        {"v1", static_cast<int>(SimdLevel::kV1), false},
                                        {"v3", static_cast<int>(SimdLevel::kV3), false},
                                        {"v4", static_cast<int>(SimdLevel::kV4), false},
                                        {nullptr, 0, false}};

bool CheckSimd(int *value, void **, GucSource) {
  const auto level = static_cast<SimdLevel>(*value);
  if (level == SimdLevel::kAuto || level <= DetectSimdLevel()) return true;
  GUC_check_errdetail("This CPU does not run x86-64-%s.", level == SimdLevel::kV4 ? "v4" : "v3");
  return false;
}

void AssignSimd(int value, void *) {
  SetSimdLevel(static_cast<SimdLevel>(value));
}

void DefineLineSettings() {
  DefineCustomBoolVariable("tsext.auto_create",
                           "Whether line protocol makes tables for new measurements.", nullptr,
                           &auto_create, true, PGC_USERSET, 0, nullptr, nullptr, nullptr);
  DefineCustomBoolVariable("tsext.auto_add_columns",
                           "Whether line protocol adds columns for new tags and fields.", nullptr,
                           &auto_add_columns, true, PGC_USERSET, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("tsext.max_columns", "Columns that line protocol gives a table.",
                          "Lines that need more are rejected.", &max_columns, 256, 2, 1600,
                          PGC_USERSET, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("tsext.max_tables",
                          "Tables in a schema up to which line protocol makes more.",
                          "Lines that need more are rejected.", &max_tables, 1000, 0, INT_MAX,
                          PGC_USERSET, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "tsext.max_series", "Series of line protocol beyond which the log gets a warning.",
      "0 means never.", &max_series, 0, 0, INT_MAX, PGC_USERSET, 0, nullptr, nullptr, nullptr);
  DefineCustomBoolVariable(
      "tsext.keep_ns", "Whether line protocol keeps nanoseconds, in a column time_ns (0 to 999).",
      "Off: times are rounded down to microseconds.", &keep_ns, false, PGC_USERSET, 0, nullptr,
      nullptr, nullptr);
}

}  // namespace

unsigned long BulkMemoryBytes() {
  return 1024UL *
         static_cast<unsigned long>(bulk_memory_kb < 0 ? maintenance_work_mem : bulk_memory_kb);
}

void DefineSettings() {
  DefineCustomBoolVariable(
      "tsext.enable_bulk",
      "Writes COPY, INSERT … SELECT and CREATE TABLE AS straight into segments.",
      "Off: such rows go to the hot heap like any other.", &enable_bulk, true, PGC_USERSET, 0,
      nullptr, nullptr, nullptr);
  DefineCustomBoolVariable("tsext.enable_scan", "Lets the planner use the TsextScan node.",
                           "Off: sequential scans read tables with compressed rows.", &enable_scan,
                           true, PGC_USERSET, GUC_EXPLAIN, nullptr, nullptr, nullptr);
  DefineCustomBoolVariable("tsext.enable_last", "Lets the planner use the TsextLast node.",
                           "Off: DISTINCT ON reads and sorts all rows.", &enable_last, true,
                           PGC_USERSET, GUC_EXPLAIN, nullptr, nullptr, nullptr);
  DefineCustomBoolVariable(
      "tsext.enable_aggregate", "Lets the planner use the TsextAggregate node.",
      "Off: rows of tsext tables are grouped by PostgreSQL's own nodes.", &enable_aggregate, true,
      PGC_USERSET, GUC_EXPLAIN, nullptr, nullptr, nullptr);
  DefineCustomEnumVariable("tsext.simd", "Instruction set of the decoding and encoding kernels.",
                           "auto takes the best this CPU has; v1 is SSE2, v3 AVX2, v4 AVX-512.",
                           &simd_setting, static_cast<int>(SimdLevel::kAuto), kSimdNames,
                           PGC_USERSET, 0, CheckSimd, AssignSimd, nullptr);
  DefineCustomIntVariable(
      "tsext.bulk_memory", "Memory a bulk writer may use to buffer and sort rows.",
      "-1 means maintenance_work_mem. More memory makes longer sorted runs and smaller tables.",
      &bulk_memory_kb, -1, -1, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "tsext.compact_rows", "Hot rows of a chunk that start a background compaction.", nullptr,
      &compact_rows, 1000000, 1, INT_MAX, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("tsext.compact_bytes",
                          "Size of a table's hot heap that starts a background compaction.",
                          nullptr, &compact_bytes_kb, 64 * 1024, 64, INT_MAX, PGC_SIGHUP,
                          GUC_UNIT_KB, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "tsext.compact_age", "Age of a chunk's oldest hot row that starts a background compaction.",
      "Applies to chunks with at least 4096 hot rows, and to chunks that ended this long ago.",
      &compact_age_s, 60, 1, INT_MAX, PGC_SIGHUP, GUC_UNIT_S, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("tsext.cold_after",
                          "Age of a chunk at which it is rewritten with the COLD codecs.",
                          "-1 means never.", &cold_after_s, 7 * 24 * 3600, -1, INT_MAX, PGC_SIGHUP,
                          GUC_UNIT_S, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "tsext.compact_naptime", "Pause between two rounds of the background compaction.", nullptr,
      &compact_naptime_s, 10, 1, 86400, PGC_SIGHUP, GUC_UNIT_S, nullptr, nullptr, nullptr);
  DefineCustomBoolVariable("tsext.compact_background",
                           "Whether the background worker compacts tables.",
                           "Off: only tsext.compact() does.", &compact_background, true, PGC_SIGHUP,
                           0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("tsext.max_job_workers",
                          "Job workers that a database may have at the same time.",
                          "Beside the one of compaction; each takes one of max_worker_processes.",
                          &max_job_workers, 4, 1, 64, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("tsext.footer_cache_size",
                          "Memory a session may keep for parsed segment footers.", nullptr,
                          &footer_cache_size_kb, 16 * 1024, 0, MAX_KILOBYTES, PGC_USERSET,
                          GUC_UNIT_KB, nullptr, nullptr, nullptr);
  DefineLineSettings();
}

}  // namespace tsext::pg
