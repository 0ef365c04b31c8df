#pragma once

// Tokens of the HTTP listener: the table tsext.token.

#include <string_view>

#include "pg/base/postgres.hpp"

namespace tsext::pg {

struct Token {
  Oid role;
  char schema[NAMEDATALEN];
  bool may_write, may_read;
};

/// Looks a secret up, as of now. `name` may be empty: any token with this secret. False: there is
/// none, it has expired, or its role is gone or not one that the current session may act as. In a
/// transaction.
bool FindToken(std::string_view name, std::string_view secret, Token *token);

}  // namespace tsext::pg
