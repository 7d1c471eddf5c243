-- SPDX-License-Identifier: GPL-2.0-or-later
-- The table of pkcs11signer-store=mysql: docs/signature-store.md, "Fleet".
--
--   CREATE DATABASE signatures;
--   USE signatures;
--   SOURCE schema.mysql.sql
--   CREATE USER pkcs11signer@'10.0.0.%' IDENTIFIED BY '...';
--   GRANT SELECT, INSERT, UPDATE, DELETE ON signatures.pkcs11signer_signatures
--     TO pkcs11signer@'10.0.0.%';
--
-- It may stand in PowerDNS's own database as well. MySQL 5.7 or MariaDB 10.3 and later.

CREATE TABLE pkcs11signer_signatures (
  id         BINARY(32)      NOT NULL COMMENT 'hash of key_id and message',
  key_id     BINARY(32)      NOT NULL COMMENT 'hash of public key and algorithm',
  expires    INT UNSIGNED    NOT NULL COMMENT 'seconds since 1970; deleted an hour later',
  last_used  DATE            NOT NULL COMMENT 'by any server, UTC',
  claimed_by BINARY(8)       NULL     COMMENT 'the server process that is making the signature',
  claimed_at DATETIME(3)     NULL     COMMENT 'since when, UTC',
  message    MEDIUMBLOB      NOT NULL COMMENT 'what was signed',
  signature  VARBINARY(1024) NOT NULL COMMENT 'empty: being made',
  PRIMARY KEY (id),
  KEY expires (expires)
) ENGINE=InnoDB;
