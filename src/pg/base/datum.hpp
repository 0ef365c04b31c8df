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

/// True when a column stored with class `stored` can be read as an attribute of class `wanted`:
/// equal classes, or classes between which only binary-coercible type changes lead (text and other
/// varlena, a domain, by-value types of one length).
bool IsReadableAs(PhysicalType stored, uint32_t stored_width, const DatumClass &wanted);
/// Bytes of a stored by-value class (1, 2, 4, 8); -1 for the bytes classes.
int16_t StoredLength(PhysicalType stored);

/// Integer and float classes (a float as its bit pattern). Inverse of each other, bit-exact.
int64_t DatumToInteger(Datum value, const DatumClass &type);
Datum IntegerToDatum(int64_t value, const DatumClass &type);

/// Bytes classes: the value's bytes, detoasted when needed; *detoasted is a palloc'd copy to free,
/// or nullptr when `view` points into the datum itself.
ByteView DatumToBytes(Datum value, const DatumClass &type, void **detoasted);
/// Makes a Datum in the current memory context: varlena with a 4-byte header, or a fixed-length
/// copy, MAXALIGNed.
Datum BytesToDatum(ByteView bytes, const DatumClass &type);
/// For values of a fixed-length type that have another length.
[[noreturn]] void RaiseWrongWidth();
/// The same into memory of the caller: `to` has BytesDatumSize() bytes and is MAXALIGNed.
size_t BytesDatumSize(ByteView bytes, const DatumClass &type);
Datum PlaceBytesDatum(ByteView bytes, const DatumClass &type, char *to);

/// Value `row` of a decoded vector as a Datum (bytes classes: palloc'd in the current memory
/// context). Not for NULL rows.
Datum VectorDatum(const Vector &vector, uint32_t row, const DatumClass &type);

}  // namespace tsext::pg
