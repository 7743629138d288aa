// What every actor stores. No id is unique by constraint: a commit applied twice must show as two rows, not as an error.

export const accounts = 10;
export const balance = 100;

export const schema = `
  CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL) STRICT;
  CREATE TABLE transfer (id TEXT NOT NULL, payer INTEGER NOT NULL REFERENCES account, payee INTEGER NOT NULL REFERENCES account,
    amount INTEGER NOT NULL) STRICT;
  CREATE TABLE counter (n INTEGER NOT NULL) STRICT;
  CREATE TABLE increment (id TEXT NOT NULL) STRICT;
  CREATE TABLE large (id TEXT NOT NULL, size INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
  CREATE TABLE part (id TEXT NOT NULL, n INTEGER NOT NULL, total INTEGER NOT NULL) STRICT;
  CREATE TABLE single (id TEXT NOT NULL) STRICT;
  CREATE INDEX increment_id ON increment (id);
  CREATE INDEX single_id ON single (id);
  INSERT INTO counter VALUES (0);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${accounts})
    INSERT INTO account SELECT i, ${balance} FROM n;`;

/** Tables of ids, one row for each that is stored. */
export const tables = ["transfer", "increment", "large", "part", "single"];

/** What must hold in every state that anybody can read. */
export const invariant = `SELECT (SELECT sum(balance) FROM account) AS total, (SELECT n FROM counter) AS n,
  (SELECT count(*) FROM increment) AS increments,
  (SELECT count(*) FROM large WHERE length(body) NOT IN (0, size)) AS torn`;

/** Says what is wrong with a row of `invariant`, or nothing. */
export function broken({ total, n, increments, torn }) {
  if (total !== accounts * balance) return `the total is ${total}, not ${accounts * balance}`;
  if (n !== increments) return `the counter says ${n}, but there are ${increments} increments`;
  if (torn !== 0) return `${torn} large rows are torn`;
  return undefined;
}

/** The body of a large row: its id, over and over. */
export const bodyOf = (id, size) => Buffer.alloc(size, `${id};`);
