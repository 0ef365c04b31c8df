#pragma once

// What continuous aggregates do before rows below them go (drop_chunks, retention, downsampling).
// The protocol is in README.md ("When the source goes").

namespace tsext::pg {

/// Called once from _PG_init: sets the functions of pg/table/touched.hpp.
void InitSourceGoes();

}  // namespace tsext::pg
