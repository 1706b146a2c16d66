def test_c(cassandra, kafka): print(cassandra, kafka)
