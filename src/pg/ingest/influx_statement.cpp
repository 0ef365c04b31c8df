#include "pg/ingest/influx_statement.hpp"

#include <cctype>
#include <cstdlib>
#include <cstring>

#include "pg/base/boundary.hpp"

extern "C" {
#include "lib/stringinfo.h"
}

namespace tsext::pg {

namespace {

enum class TokenKind : uint8_t { kEnd, kWord, kName, kString, kSign };

struct Token {
  TokenKind kind;
  char *text;
};

/// Reads one token and moves *at behind it.
Token NextToken(const char **at) {
  while (isspace(static_cast<unsigned char>(**at))) (*at)++;
  const char *start = *at;
  if (*start == '\0') return {TokenKind::kEnd, pstrdup("")};
  if (*start == '"' || *start == '\'') {
    StringInfoData text;
    initStringInfo(&text);
    const char *p = start + 1;
    for (; *p != '\0' && *p != *start; p++) {
      if (*p == '\\' && p[1] != '\0') p++;
      appendStringInfoChar(&text, *p);
    }
    *at = *p == '\0' ? p : p + 1;
    return {*start == '"' ? TokenKind::kName : TokenKind::kString, text.data};
  }
  const auto is_word = [](char c) {
    return isalnum(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80) != 0;
  };
  if (!is_word(*start)) {
    (*at)++;
    return {TokenKind::kSign, pnstrdup(start, 1)};
  }
  while (is_word(**at)) (*at)++;
  return {TokenKind::kWord, pnstrdup(start, static_cast<Size>(*at - start))};
}

struct Parser {
  const char *at;
  Token token;

  void Advance() { token = NextToken(&at); }
  bool Is(const char *word) const {
    return (token.kind == TokenKind::kWord || token.kind == TokenKind::kSign) &&
           pg_strcasecmp(token.text, word) == 0;
  }
  bool Take(const char *word) {
    if (!Is(word)) return false;
    Advance();
    return true;
  }
  [[noreturn]] void Fail(const char *expected) const {
    ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
                    errmsg("syntax error: found \"%s\", expected %s", token.text, expected)));
    pg_unreachable();
  }
  void Expect(const char *word) {
    if (!Take(word)) Fail(word);
  }
  char *TakeName() {
    if (token.kind != TokenKind::kWord && token.kind != TokenKind::kName) Fail("a name");
    char *name = token.text;
    Advance();
    return name;
  }
  /// db.rp.measurement: the last part.
  char *TakeMeasurement() {
    char *name = TakeName();
    while (Take(".")) {
      if (!Is(".")) name = TakeName();
    }
    return name;
  }
};

void ParseKeys(Parser *parser, InfluxStatement *statement) {
  parser->Expect("KEY");
  if (parser->Take("IN")) {
    parser->Expect("(");
    do {
      statement->keys = lappend(statement->keys, parser->TakeName());
    } while (parser->Take(","));
    parser->Expect(")");
  } else {
    parser->Expect("=");
    statement->keys = list_make1(parser->TakeName());
  }
}

void ParseClauses(Parser *parser, InfluxStatement *statement) {
  for (;;) {
    if (parser->Take(";") || parser->token.kind == TokenKind::kEnd) break;
    if (parser->Take("ON")) {
      statement->database = parser->TakeName();
    } else if (parser->Take("FROM")) {
      do {
        statement->measurements = lappend(statement->measurements, parser->TakeMeasurement());
      } while (parser->Take(","));
    } else if (parser->Take("LIMIT")) {
      statement->limit = strtoll(parser->token.text, nullptr, 10);
      parser->Advance();
    } else if (statement->kind == InfluxKind::kShowTagValues && parser->Take("WITH")) {
      ParseKeys(parser, statement);
    } else {
      parser->Fail("the end of the statement");
    }
  }
  if (parser->token.kind != TokenKind::kEnd) parser->Fail("one statement only");
}

/// What follows SHOW.
InfluxKind ShowKind(Parser *parser) {
  if (parser->Take("DATABASES")) return InfluxKind::kShowDatabases;
  if (parser->Take("MEASUREMENTS")) return InfluxKind::kShowMeasurements;
  if (parser->Take("RETENTION")) {
    parser->Expect("POLICIES");
    return InfluxKind::kShowRetentionPolicies;
  }
  if (parser->Take("FIELD")) {
    parser->Expect("KEYS");
    return InfluxKind::kShowFieldKeys;
  }
  if (parser->Take("TAG")) {
    if (parser->Take("VALUES")) return InfluxKind::kShowTagValues;
    parser->Expect("KEYS");
    return InfluxKind::kShowTagKeys;
  }
  return InfluxKind::kNone;  // SHOW of SQL
}

}  // namespace

InfluxStatement ParseInfluxStatement(const char *text) {
  InfluxStatement statement;
  Parser parser{text, {}};
  parser.Advance();
  if (parser.Take("SHOW")) {
    statement.kind = ShowKind(&parser);
    if (statement.kind != InfluxKind::kNone) ParseClauses(&parser, &statement);
    if (statement.kind == InfluxKind::kShowTagValues && statement.keys == NIL)
      parser.Fail("WITH KEY");
  } else if (parser.Take("CREATE")) {
    if (parser.Take("DATABASE")) {
      statement.kind = InfluxKind::kCreateDatabase;
      statement.database = parser.TakeName();  // what follows is about retention
    } else if (parser.Take("RETENTION")) {
      statement.kind = InfluxKind::kNothing;
    }
  }
  return statement;
}

}  // namespace tsext::pg
