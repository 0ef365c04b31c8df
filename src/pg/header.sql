\echo Use "CREATE EXTENSION tsext" to load this file. \quit
