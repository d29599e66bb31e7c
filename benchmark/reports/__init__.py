"""Pages written from records: leaderboard, findings, HTML report."""
