_, price = map(int, input().split())
orders = map(int, input().split())
print(sum(price * (cups - 1 if cups >= 10 else cups) for cups in orders))
