"""The history of the store's tables, oldest first. A migration once released is never changed."""
