"""What a person reads: pictures of derivatives, tables."""
