"""Load tests: people as they behave, an open-loop generator, and gates that say whether it went well."""
