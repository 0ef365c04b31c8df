#include "pg/ingest/token.hpp"

#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/read_only.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/ingest/listener_settings.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

enum : AttrNumber { kName = 1, kHash, kRole, kSchema, kRights, kExpires, kCreated };
constexpr int kColumns = 7;
constexpr int kSecretBytes = 32;
constexpr int kMaxNameBytes = 128;

/// SHA-256 as a bytea.
bytea *HashSecret(std::string_view secret) {
  auto *hash = static_cast<bytea *>(palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH));
  SET_VARSIZE(hash, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
  pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
  if (pg_cryptohash_init(context) < 0 ||
      pg_cryptohash_update(context, reinterpret_cast<const uint8 *>(secret.data()), secret.size()) <
          0 ||
      pg_cryptohash_final(context, reinterpret_cast<uint8 *>(VARDATA(hash)),
                          PG_SHA256_DIGEST_LENGTH) < 0)
    elog(ERROR, "could not compute SHA-256: %s", pg_cryptohash_error(context));
  pg_cryptohash_free(context);
  return hash;
}

/// Takes the same time wherever the two differ.
bool EqualInConstantTime(const bytea *a, const bytea *b) {
  if (VARSIZE_ANY_EXHDR(a) != VARSIZE_ANY_EXHDR(b)) return false;
  const char *x = VARDATA_ANY(a), *y = VARDATA_ANY(b);
  unsigned char difference = 0;
  for (size_t i = 0; i < VARSIZE_ANY_EXHDR(a); i++)
    difference |= static_cast<unsigned char>(x[i] ^ y[i]);
  return difference == 0;
}

constexpr const char *kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// 32 random bytes in the alphabet of URLs.
char *MakeSecret() {
  unsigned char random[kSecretBytes + 1] = {};
  if (!pg_strong_random(random, kSecretBytes)) {
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random token")));
  }
  char *secret = static_cast<char *>(palloc0(kSecretBytes * 4 / 3 + 2));
  char *to = secret;
  for (int bit = 0; bit < kSecretBytes * 8; bit += 6) {
    const int pair = random[bit / 8] << 8 | random[bit / 8 + 1];
    *to++ = kAlphabet[(pair >> (10 - bit % 8)) & 63];
  }
  return secret;
}

/// The row of a token by its name (text) or hash (bytea), copied; nullptr: there is none.
HeapTuple FindRow(Relation tokens, AttrNumber column, Datum value) {
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  ScanKeyData key;
  ScanKeyInit(&key, column, BTEqualStrategyNumber, column == kName ? F_TEXTEQ : F_BYTEAEQ, value);
  SysScanDesc scan =
      systable_beginscan(tokens, CatalogRelation(column == kName ? "token_pkey" : "token_hash"),
                         true, snapshot, 1, &key);
  HeapTuple tuple = systable_getnext(scan);
  if (HeapTupleIsValid(tuple)) tuple = heap_copytuple(tuple);
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  return tuple;
}

void CheckName(const char *name) {
  bool valid = name[0] != '\0' && strlen(name) <= kMaxNameBytes;
  for (const char *at = name; *at != '\0'; at++)
    valid &= *at != ':' && static_cast<unsigned char>(*at) >= ' ';
  if (!valid) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("invalid name of a token: \"%s\"", name),
                    errdetail("A name has 1 to %d bytes without colons and control characters.",
                              kMaxNameBytes)));
  }
}

void CheckRights(ArrayType *rights) {
  Datum *elements;
  bool *nulls;
  int count;
  deconstruct_array(rights, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
  bool valid = count > 0;
  for (int i = 0; i < count; i++) {
    const char *right = nulls[i] ? "" : TextDatumGetCString(elements[i]);
    valid &= strcmp(right, "read") == 0 || strcmp(right, "write") == 0;
  }
  if (!valid) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid rights of a token"),
                    errhint("The rights are 'read' and 'write', as in '{read,write}'.")));
  }
}

bool HasRight(ArrayType *rights, const char *right) {
  Datum *elements;
  bool *nulls;
  int count;
  deconstruct_array(rights, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
  for (int i = 0; i < count; i++) {
    if (!nulls[i] && strcmp(TextDatumGetCString(elements[i]), right) == 0) return true;
  }
  return false;
}

/// The listener acts as a role only if its own may.
void WarnWhenListenerMayNot(Oid role) {
  if (listen_role[0] == '\0') return;
  const Oid listener = get_role_oid(listen_role, true);
  if (!OidIsValid(listener) || is_member_of_role(listener, role)) return;
  ereport(WARNING, (errmsg("role \"%s\" of tsext.listen_role is not a member of \"%s\"",
                           listen_role, GetUserNameFromId(role, false)),
                    errdetail("The listener will refuse the token."),
                    errhint("Run GRANT %s TO %s.", quote_identifier(GetUserNameFromId(role, false)),
                            quote_identifier(listen_role))));
}

}  // namespace

bool FindToken(std::string_view name, std::string_view secret, Token *token) {
  Relation tokens = table_open(CatalogRelation("token"), AccessShareLock);
  bytea *hash = HashSecret(secret);
  HeapTuple tuple = name.empty() ? FindRow(tokens, kHash, PointerGetDatum(hash))
                                 : FindRow(tokens, kName,
                                           PointerGetDatum(cstring_to_text_with_len(
                                               name.data(), static_cast<int>(name.size()))));
  bool found = false;
  if (HeapTupleIsValid(tuple)) {
    Datum values[kColumns];
    bool nulls[kColumns];
    heap_deform_tuple(tuple, RelationGetDescr(tokens), values, nulls);
    token->role = DatumGetObjectId(values[kRole - 1]);
    strlcpy(token->schema, NameStr(*DatumGetName(values[kSchema - 1])), sizeof token->schema);
    ArrayType *rights = DatumGetArrayTypeP(values[kRights - 1]);
    token->may_read = HasRight(rights, "read");
    token->may_write = HasRight(rights, "write");
    found = EqualInConstantTime(hash, DatumGetByteaPP(values[kHash - 1])) &&
            (nulls[kExpires - 1] ||
             DatumGetTimestampTz(values[kExpires - 1]) > GetCurrentTimestamp()) &&
            SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(token->role)) &&
            is_member_of_role(GetSessionUserId(), token->role) &&
            (listen_superuser || !superuser_arg(token->role));
  }
  table_close(tokens, AccessShareLock);
  return found;
}

}  // namespace tsext::pg

TSEXT_FUNCTION(tsext_create_token) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  for (int i = 0; i < 4; i++) {
    if (PG_ARGISNULL(i)) {
      ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                      errmsg("name, role, schema and rights of a token must not be NULL")));
    }
  }
  RefuseReadOnly("tsext.create_token()");
  const char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
  CheckName(name);
  const Oid role = get_role_oid(NameStr(*PG_GETARG_NAME(1)), false);
  check_is_member_of_role(GetUserId(), role);
  if (superuser_arg(role) && !listen_superuser) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("role \"%s\" is a superuser", NameStr(*PG_GETARG_NAME(1))),
                    errhint("Name another role, or let the listener have such tokens with "
                            "tsext.listen_superuser.")));
  }
  CheckRights(PG_GETARG_ARRAYTYPE_P(3));
  WarnWhenListenerMayNot(role);

  Relation tokens = table_open(CatalogRelation("token"), RowExclusiveLock);
  if (HeapTupleIsValid(FindRow(tokens, kName, PointerGetDatum(PG_GETARG_TEXT_PP(0))))) {
    ereport(ERROR,
            (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("token \"%s\" already exists", name)));
  }
  char *secret = MakeSecret();
  Datum values[kColumns] = {PointerGetDatum(PG_GETARG_TEXT_PP(0)),
                            PointerGetDatum(HashSecret(secret)),
                            ObjectIdGetDatum(role),
                            PG_GETARG_DATUM(2),
                            PG_GETARG_DATUM(3),
                            PG_ARGISNULL(4) ? Datum(0) : PG_GETARG_DATUM(4),
                            TimestampTzGetDatum(GetCurrentTimestamp())};
  bool nulls[kColumns] = {false, false, false, false, false, PG_ARGISNULL(4), false};
  CatalogTupleInsert(tokens, heap_form_tuple(RelationGetDescr(tokens), values, nulls));
  table_close(tokens, NoLock);
  PG_RETURN_TEXT_P(cstring_to_text(secret));
}

TSEXT_FUNCTION(tsext_revoke_token) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  RefuseReadOnly("tsext.revoke_token()");
  Relation tokens = table_open(CatalogRelation("token"), RowExclusiveLock);
  HeapTuple tuple = FindRow(tokens, kName, PointerGetDatum(PG_GETARG_TEXT_PP(0)));
  if (!HeapTupleIsValid(tuple)) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                    errmsg("token \"%s\" does not exist", text_to_cstring(PG_GETARG_TEXT_PP(0)))));
  }
  bool is_null;
  const Oid role = DatumGetObjectId(heap_getattr(tuple, kRole, RelationGetDescr(tokens), &is_null));
  if (SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
    check_is_member_of_role(GetUserId(), role);
  CatalogTupleDelete(tokens, &tuple->t_self);
  table_close(tokens, NoLock);
  PG_RETURN_VOID();
}
