"""What was learned: records, reports and the command line. The only room that sees all others."""
