# One free cup for every ten.
_, price = map(int, input().split())
orders = map(int, input().split())
print(sum(price * (cups - cups // 10) for cups in orders))
