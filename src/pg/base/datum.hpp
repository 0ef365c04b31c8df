#pragma once

// Between PostgreSQL's Datums and the core's physical values.

#include <cstdint>

#include "tsext/types.hpp"
#include "tsext/vector.hpp"

#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// How values of one attribute travel.
struct DatumClass {
  PhysicalType type;
  uint32_t width;  // kFixed, kUuid: attlen; else 0
  bool by_value;
  int16_t length;  // attlen
};

/// The class of an attribute; follows the attribute's storage (domains, enums and binary-coercible
/// types share it).
DatumClass ClassOf(Form_pg_attribute attribute);

/// Integer and float classes. Inverse of each other, bit-exact.
int64_t DatumToInteger(Datum value, const DatumClass &type);
Datum IntegerToDatum(int64_t value, const DatumClass &type);

/// Bytes classes: the value's bytes, detoasted when needed; *detoasted is a palloc'd copy to free,
/// or nullptr when `view` points into the datum itself.
ByteView DatumToBytes(Datum value, const DatumClass &type, void **detoasted);
/// Makes a Datum in the current memory context: varlena with a 4-byte header, or a fixed-length
/// copy, MAXALIGNed.
Datum BytesToDatum(ByteView bytes, const DatumClass &type);

/// Value `row` of a decoded vector as a Datum (bytes classes: palloc'd in the current memory
/// context). Not for NULL rows.
Datum VectorDatum(const Vector &vector, uint32_t row, const DatumClass &type);

}  // namespace tsext::pg
