"""Publication of finished students."""
