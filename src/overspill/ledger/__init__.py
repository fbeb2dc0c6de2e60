"""What happened, remembered: records, the SQLite file they go to, exports, summaries and cost."""
