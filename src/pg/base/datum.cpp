// Between PostgreSQL's Datums and the core's physical values: which class a type belongs to, and
// the conversions, bit-exact both ways.

#include "pg/base/datum.hpp"

#include <bit>
#include <cstring>

#include "pg/base/boundary.hpp"

extern "C" {
#include "access/detoast.h"
#include "catalog/pg_type_d.h"
#include "utils/lsyscache.h"
}

namespace tsext::pg {
namespace {

PhysicalType ByValueType(Oid base_type, int16_t length) {
  switch (length) {
    case 1:
      return base_type == BOOLOID ? PhysicalType::kBool : PhysicalType::kInt8;
    case 2:
      return PhysicalType::kInt16;
    case 4:
      return base_type == FLOAT4OID ? PhysicalType::kFloat32 : PhysicalType::kInt32;
    case 8:
      return base_type == FLOAT8OID ? PhysicalType::kFloat64 : PhysicalType::kInt64;
    default:
      elog(ERROR, "type %u is passed by value with length %d", base_type, length);
  }
}

/// Arrays have their elements' collation but no memcmp order.
bool HasTextOrder(Oid base_type) {
  return type_is_collatable(base_type) && !OidIsValid(get_element_type(base_type));
}

bool IsVarlena(PhysicalType type) {
  return type == PhysicalType::kNumeric || type == PhysicalType::kText ||
         type == PhysicalType::kVarlena;
}

}  // namespace

DatumClass ClassOf(Form_pg_attribute attribute) {
  DatumClass result = {PhysicalType::kVarlena, 0, attribute->attbyval, attribute->attlen};
  const Oid base_type = getBaseType(attribute->atttypid);
  if (attribute->attbyval) {
    result.type = ByValueType(base_type, attribute->attlen);
  } else if (attribute->attlen > 0) {
    result.type = base_type == UUIDOID ? PhysicalType::kUuid : PhysicalType::kFixed;
    result.width = static_cast<uint32_t>(attribute->attlen);
  } else if (attribute->attlen != -1) {
    elog(ERROR, "column \"%s\" has a type of length %d", NameStr(attribute->attname),
         attribute->attlen);
  } else if (base_type == NUMERICOID) {
    result.type = PhysicalType::kNumeric;
  } else if (HasTextOrder(base_type)) {
    result.type = PhysicalType::kText;
  }
  return result;
}

bool IsReadableAs(PhysicalType stored, uint32_t stored_width, const DatumClass &wanted) {
  if (stored == wanted.type) return stored_width == wanted.width;
  if (wanted.by_value) return !IsBytes(stored) && StoredLength(stored) == wanted.length;
  if (wanted.length == -1) return IsVarlena(stored);
  return (stored == PhysicalType::kUuid || stored == PhysicalType::kFixed) &&
         stored_width == wanted.width;
}

int16_t StoredLength(PhysicalType stored) {
  switch (stored) {
    case PhysicalType::kBool:
    case PhysicalType::kInt8:
      return 1;
    case PhysicalType::kInt16:
      return 2;
    case PhysicalType::kInt32:
    case PhysicalType::kFloat32:
      return 4;
    case PhysicalType::kInt64:
    case PhysicalType::kFloat64:
      return 8;
    default:
      return -1;
  }
}

int64_t DatumToInteger(Datum value, const DatumClass &type) {
  switch (type.length) {
    case 1:
      return type.type == PhysicalType::kBool ? static_cast<int64_t>(DatumGetBool(value))
                                              : static_cast<int8_t>(value);
    case 2:
      return static_cast<int16_t>(value);
    case 4:
      return static_cast<int32_t>(value);
    default:
      return static_cast<int64_t>(value);
  }
}

Datum IntegerToDatum(int64_t value, const DatumClass &type) {
  // As fetch_att() makes them: sign-extended, so that datumIsEqual() of a cold and a hot value
  // agrees.
  switch (type.length) {
    case 1:
      return type.type == PhysicalType::kBool ? BoolGetDatum(value != 0)
                                              : static_cast<Datum>(static_cast<int8_t>(value));
    case 2:
      return static_cast<Datum>(static_cast<int16_t>(value));
    case 4:
      return static_cast<Datum>(static_cast<int32_t>(value));
    default:
      return static_cast<Datum>(value);
  }
}

ByteView DatumToBytes(Datum value, const DatumClass &type, void **detoasted) {
  *detoasted = nullptr;
  if (type.length > 0)
    return {reinterpret_cast<const std::byte *>(DatumGetPointer(value)),
            static_cast<uint32_t>(type.length)};
  auto *varlena = reinterpret_cast<struct varlena *>(DatumGetPointer(value));
  if (VARATT_IS_EXTERNAL(varlena) || VARATT_IS_COMPRESSED(varlena)) {
    varlena = detoast_attr(varlena);  // expanded objects become flat here, too
    *detoasted = varlena;
  }
  return {reinterpret_cast<const std::byte *>(VARDATA_ANY(varlena)),
          static_cast<uint32_t>(VARSIZE_ANY_EXHDR(varlena))};
}

Datum BytesToDatum(ByteView bytes, const DatumClass &type) {
  char *to = static_cast<char *>(palloc(BytesDatumSize(bytes, type)));
  return PlaceBytesDatum(bytes, type, to);
}

size_t BytesDatumSize(ByteView bytes, const DatumClass &type) {
  return type.length > 0 ? static_cast<size_t>(type.length) : size_t{VARHDRSZ} + bytes.size;
}

void RaiseWrongWidth() {
  ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                  errmsg("stored value has another length than its fixed-length type")));
}

Datum PlaceBytesDatum(ByteView bytes, const DatumClass &type, char *to) {
  if (type.length > 0) {
    const auto length = static_cast<size_t>(type.length);
    if (bytes.size != length) RaiseWrongWidth();
    memcpy(to, bytes.data, length);
  } else {
    SET_VARSIZE(to, bytes.size + VARHDRSZ);
    if (bytes.size > 0) memcpy(to + VARHDRSZ, bytes.data, bytes.size);
  }
  return PointerGetDatum(to);
}

Datum VectorDatum(const Vector &vector, uint32_t row, const DatumClass &type) {
  switch (vector.type) {
    case PhysicalType::kFloat32:
      return static_cast<Datum>(std::bit_cast<int32_t>(vector.floats[row]));
    case PhysicalType::kFloat64:
      return static_cast<Datum>(std::bit_cast<int64_t>(vector.doubles[row]));
    default:
      return IsBytes(vector.type) ? BytesToDatum(vector.bytes[row], type)
                                  : IntegerToDatum(vector.integers[row], type);
  }
}

}  // namespace tsext::pg
