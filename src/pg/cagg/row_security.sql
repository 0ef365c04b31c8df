-- What the view of a continuous aggregate over a table with row security asks, once a statement and about whoever runs it: in
-- scalar sub-selects, so that the answers are never part of a plan.
CREATE OR REPLACE FUNCTION tsext.row_security(materialization regclass, relation regclass, policies name[]) RETURNS boolean
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_row_security';
COMMENT ON FUNCTION tsext.row_security(regclass, regclass, name[]) IS
  'whether row security of a table applies to the current user; raises an error where row_security is off, and when the policies are others (internal)';

CREATE OR REPLACE FUNCTION tsext.policy_applies(relation regclass, policy name) RETURNS boolean
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_policy_applies';
COMMENT ON FUNCTION tsext.policy_applies(regclass, name) IS 'whether a policy is for a role of the current user (internal)';
