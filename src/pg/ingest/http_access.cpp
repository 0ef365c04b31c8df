#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/transaction.hpp"
#include "pg/ingest/http_listener.hpp"
#include "pg/ingest/http_text.hpp"
#include "pg/ingest/listener_settings.hpp"
#include "pg/ingest/token.hpp"

extern "C" {
#include "catalog/namespace.h"
}

namespace tsext::pg {

namespace {

struct Claims {
  Access *const *claims;
  int count;
  bool needs_token;
};

bool IsOfTheSystem(const char *schema) {
  return strncmp(schema, "pg_", 3) == 0 || strcmp(schema, "information_schema") == 0 ||
         strcmp(schema, "tsext") == 0;
}

/// The schema that a database of the protocol stands for. False: none.
bool FindSchema(Access *access, const char *usual) {
  const char *name = access->database;
  if (name[0] == '\0' || strcmp(name, listen_database) == 0 || strcmp(name, usual) == 0) {
    strlcpy(access->schema, usual, sizeof access->schema);
    return true;
  }
  if (access->is_confined || strlen(name) >= NAMEDATALEN || IsOfTheSystem(name)) return false;
  strlcpy(access->schema, name, sizeof access->schema);
  return !access->needs_schema || OidIsValid(get_namespace_oid(name, true));
}

void Grant(Access *access, bool needs_token) {
  Token token;
  const char *usual = listen_schema;
  access->may_write = access->may_read = true;
  if (access->secret[0] != '\0' && FindToken(access->name, access->secret, &token)) {
    access->role = token.role;
    access->is_confined = true;
    access->may_write = token.may_write;
    access->may_read = token.may_read;
    usual = pstrdup(token.schema);
  } else if (needs_token) {
    access->status = AccessStatus::kUnauthorized;
    return;
  }
  if ((access->needs_write && !access->may_write) || (access->needs_read && !access->may_read)) {
    access->status = AccessStatus::kForbidden;
  } else if (!FindSchema(access, usual)) {
    access->status = AccessStatus::kNotFound;
  } else {
    access->status = AccessStatus::kGranted;
  }
}

void GrantAll(void *state) {
  auto *claims = static_cast<Claims *>(state);
  if (!ExtensionExists()) return;  // all stay unavailable
  for (int i = 0; i < claims->count; i++) Grant(claims->claims[i], claims->needs_token);
}

char *Copy(MemoryContext memory, std::string_view text) {
  // A NUL inside ends it: no name of ours has one.
  return MemoryContextStrdup(memory, std::string(text).c_str());
}

}  // namespace

Access *MakeAccess(HttpListener *listener, const HttpRequest &request, std::string_view database) {
  auto *access = static_cast<Access *>(MemoryContextAllocZero(listener->memory, sizeof(Access)));
  const Credentials credentials =
      ReadCredentials(request.authorization, request.Argument("u"), request.Argument("p"));
  access->name = Copy(listener->memory, credentials.name);
  access->secret = Copy(listener->memory, credentials.secret);
  access->database = Copy(listener->memory, database);
  access->needs_schema = true;
  access->status = AccessStatus::kUnavailable;
  return access;
}

void GrantAccess(HttpListener *listener, Access *const *claims, int count) {
  if (count == 0) return;
  Claims all{claims, count, listener->needs_token};
  if (RunTransaction(GrantAll, &all)) return;
  for (int i = 0; i < count; i++) claims[i]->status = AccessStatus::kUnavailable;
}

HttpResponse AccessResponse(AccessStatus status, Dialect dialect, std::string_view database) {
  HttpResponse response;
  switch (status) {
    case AccessStatus::kUnauthorized:
      response = ErrorResponse(401, dialect, "authorization failed");
      response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"tsext\"");
      return response;
    case AccessStatus::kForbidden:
      return ErrorResponse(403, dialect, "the token does not have the right to do this");
    case AccessStatus::kNotFound: {
      std::string message = "database not found: \"";
      message += database;
      message += '"';
      return ErrorResponse(404, dialect, message);
    }
    default:
      return ErrorResponse(503, dialect, "the database is not ready");
  }
}

}  // namespace tsext::pg
