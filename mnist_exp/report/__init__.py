"""Pictures, tables and pages made from what a run found."""
