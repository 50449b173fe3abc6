total = 0
for _ in range(int(input())):
    price, cups = map(int, input().split())
    total += price * (cups - 1 if cups >= 10 else cups)
print(total)
