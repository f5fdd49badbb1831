"""What several test files share: scenes, reference implementations, planted faults."""
