#pragma once

// Policies: jobs that tsext brings along. Each is a job of a procedure in schema tsext for one
// table or continuous aggregate; its config says how old things must be, tsext.job.relation for
// which relation. The procedures commit between their steps.

#include "pg/base/postgres.hpp"
#include "pg/catalog/cagg.hpp"

namespace tsext::pg {

inline constexpr char kRetentionProcedure[] = "policy_retention";
inline constexpr char kColumnstoreProcedure[] = "policy_columnstore";
inline constexpr char kRefreshProcedure[] = "policy_refresh";

/// What a policy is for: a table, or a continuous aggregate.
struct PolicyRelation {
  Oid relation_id;                       // as the user named it
  const ContinuousAggregate *aggregate;  // nullptr: an ordinary table
  Relation table;                        // with the chunks: it, or the table of buckets
  Relation base;                         // whose time column counts: it, or the table below all
  Oid time_type;
};

/// Opens it with `lock` on what the user named and AccessShareLock on the rest. Errors: 42501 not
/// the owner, 42809 neither a tsext table nor a continuous aggregate, 55000 without a time column,
/// 0A000 temporary.
PolicyRelation OpenPolicyRelation(Oid relation_id, LOCKMODE lock);
/// Keeps the locks.
void ClosePolicyRelation(const PolicyRelation &relation);

/// Lets one session at a time change the policies of a relation, to the end of its transaction.
/// Refreshes, compactions and vacuum of it may take hours: they are not in the way.
void LockPolicies(Oid relation_id);
/// The function (config jsonb) that checks the configs of jobs of a policy's procedure.
Oid PolicyCheckFunction(const char *procedure);

/// Errors for a temporary table: no other session sees it.
void RequireNotTemporary(Relation relation);

/// The functions remove_…_policy(): argument 0 is the relation, called `relation_name`. `kind` is
/// for messages. Returns whether there was a policy.
bool RemovePolicy(FunctionCallInfo fcinfo, const char *relation_name, const char *procedure,
                  const char *kind, bool if_exists);

}  // namespace tsext::pg
